//! A service's program, ready to be started: paths resolved, secrets read.

use crate::substitute::{Values, substitute};
use crate::{Error, ServiceConfig, ServicesContext};
use notation::{Secret, TextOr};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Variables between nines and the one who started it, which would mislead a program that inherits them.
const HIDDEN: [&str; 8] = [
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "MAINPID",
    "CREDENTIALS_DIRECTORY",
];

/// What is started for a service.
// No `Debug`: the environment holds secrets.
pub(crate) struct Program {
    run: Vec<String>,
    dir: PathBuf,
    nines: PathBuf,
    env: Vec<(String, String)>,
    hidden_env: Vec<String>,
}

/// Two are equal when they start the same program in the same surroundings. What is hidden is left out: that
/// another service got a secret is no reason to replace the processes of this one.
impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        let Self { run, dir, nines, env, hidden_env: _ } = self;
        (run, dir, nines, env) == (&other.run, &other.dir, &other.nines, &other.env)
    }
}

impl Program {
    /// Resolves a service's paths and reads its secrets; makes sure that the program is there now.
    pub(crate) fn new(
        context: &ServicesContext,
        service: &str,
        config: &ServiceConfig,
    ) -> Result<Self, Error> {
        let dir = context.dir.join(config.dir.as_deref().unwrap_or(Path::new("")));
        let directory_error = |source| Error::Directory { service: service.into(), dir: dir.clone(), source };
        // An empty path is the folder we are in, which only `.` says to the kernel.
        let dir = std::path::absolute(Path::new(".").join(&dir)).map_err(directory_error)?;
        if !dir.metadata().map_err(directory_error)?.is_dir() {
            return Err(directory_error(std::io::ErrorKind::NotADirectory.into()));
        }
        let mut hidden_env: Vec<String> = HIDDEN.iter().map(|name| (*name).into()).collect();
        hidden_env.extend(context.hidden_env.iter().cloned());
        let env = environment(service, config)?;
        let program = Self { run: config.run.clone(), dir, nines: context.nines.clone(), env, hidden_env };
        let values = Values { port: 0, instance: service, nines: program.nines.as_os_str() };
        let Some(first) = program.run.first().filter(|first| !first.trim().is_empty()) else {
            return Err(Error::NoProgram { service: service.into() });
        };
        program.resolve(&values).map_err(|reason| Error::Program {
            service: service.into(),
            program: substitute(first, &values).to_string_lossy().into_owned(),
            reason,
        })?;
        Ok(program)
    }

    /// The command that starts one run of one instance, in a process group of its own that ends with us.
    /// `Err` says why the program is not to be found any more.
    pub(crate) fn command(&self, instance: &str, port: u16) -> Result<Command, String> {
        let values = Values { port, instance, nines: self.nines.as_os_str() };
        let mut arguments = self.run.iter().map(|argument| substitute(argument, &values));
        let mut command = Command::new(self.resolve(&values)?);
        command.arg0(arguments.next().unwrap_or_default()).args(arguments).current_dir(&self.dir);
        for variable in &self.hidden_env {
            command.env_remove(variable);
        }
        command.envs(self.env.iter().map(|(variable, value)| (variable, value)));
        command.env("PORT", port.to_string()).env("INSTANCE", instance);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        sys::process::own_group(&mut command);
        sys::process::die_with_parent(&mut command);
        sys::process::usual_open_files(&mut command);
        Ok(command)
    }

    /// The file to execute: as `execvp` would find it, but with a reason when it does not.
    fn resolve(&self, values: &Values<'_>) -> Result<PathBuf, String> {
        let name = substitute(self.run.first().map_or("", String::as_str), values);
        if name.as_bytes().contains(&b'/') {
            let path = self.dir.join(&name);
            return executable(&path).map(|()| path);
        }
        let search = self.search_path();
        for folder in std::env::split_paths(&search) {
            let path = self.dir.join(folder).join(&name);
            if executable(&path).is_ok() {
                return Ok(path);
            }
        }
        Err(format!("not found in PATH ({})", search.to_string_lossy()))
    }

    fn search_path(&self) -> OsString {
        let own = self.env.iter().find(|(variable, _)| variable == "PATH").map(|(_, value)| value.into());
        own.or_else(|| std::env::var_os("PATH"))
            .unwrap_or_else(|| OsString::from("/usr/local/bin:/usr/bin:/bin"))
    }
}

/// Whether a file can be executed by somebody; the kernel decides whether by us.
fn executable(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let metadata = path.metadata().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("not found at {shown}"),
        _ => format!("{shown}: {error}"),
    })?;
    if metadata.is_dir() {
        return Err(format!("{shown} is a directory"));
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(format!("{shown} is not executable"));
    }
    Ok(())
}

fn environment(service: &str, config: &ServiceConfig) -> Result<Vec<(String, String)>, Error> {
    let value = |(variable, value): (&String, &TextOr<Secret>)| {
        let value = match value {
            TextOr::Text(text) => text.as_str().to_owned(),
            TextOr::Long(secret) => secret.reveal().map_err(|source| Error::Secret {
                service: service.into(),
                variable: variable.clone(),
                source,
            })?,
        };
        Ok((variable.clone(), value))
    };
    config.env.iter().map(value).collect()
}

/// The variables of our own environment that hold a service's secrets: no other service inherits them.
pub(crate) fn secret_variables(config: &ServiceConfig) -> impl Iterator<Item = &str> {
    config.env.values().filter_map(|value| match value {
        TextOr::Long(Secret::Env(variable)) => Some(variable.as_str()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::ffi::OsStr;
    use std::fs;

    fn config(text: &str) -> ServiceConfig {
        toml::from_str(text).unwrap()
    }

    fn context(dir: &Path) -> ServicesContext {
        ServicesContext {
            dir: dir.into(),
            nines: "/opt/nines".into(),
            hidden_env: vec!["HOME".into()],
            registry: telemetry::Registry::new(),
        }
    }

    fn refusal(dir: &Path, text: &str) -> String {
        match Program::new(&context(dir), "shop", &config(text)) {
            Ok(_) => panic!("{text} was accepted"),
            Err(error) => error.to_string(),
        }
    }

    fn file(path: &Path, mode: u32) {
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_missing_program_is_named_with_the_place_where_it_was_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        assert_eq!(
            refusal(dir.path(), r#"run = ["./shop"]"#),
            format!("service shop: program ./shop: not found at {at}/./shop")
        );
        assert_eq!(
            refusal(dir.path(), "run = ['no-such-program']\nenv = { PATH = '/no/such/folder' }"),
            "service shop: program no-such-program: not found in PATH (/no/such/folder)"
        );
        assert_eq!(refusal(dir.path(), "run = []"), "service shop: `run` names no program");
    }

    #[test]
    fn what_cannot_be_executed_is_no_program() {
        let dir = tempfile::tempdir().unwrap();
        file(&dir.path().join("plain"), 0o644);
        fs::create_dir(dir.path().join("folder")).unwrap();
        assert!(refusal(dir.path(), r#"run = ["./plain"]"#).ends_with("/./plain is not executable"));
        assert!(refusal(dir.path(), r#"run = ["./folder"]"#).ends_with("/./folder is a directory"));
    }

    #[test]
    fn a_program_is_found_from_its_own_dir_and_its_own_path() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("app/bin")).unwrap();
        file(&dir.path().join("app/bin/shop"), 0o755);
        for text in ["run = ['bin/shop']\ndir = 'app'", "run = ['shop']\ndir = 'app'\nenv = { PATH = 'bin' }"]
        {
            let program = Program::new(&context(dir.path()), "shop", &config(text)).ok().unwrap();
            let command = program.command("shop-1", 3001).unwrap();
            assert_eq!(command.get_program(), dir.path().join("app/bin/shop"));
            assert_eq!(command.get_current_dir(), Some(dir.path().join("app").as_path()));
        }
    }

    #[test]
    fn arguments_and_environment_name_the_instance() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("token"), "s3cret\n").unwrap();
        let token = dir.path().join("token");
        let text = format!(
            "run = ['/bin/sh', '$PORT', '$NINES']\nenv = {{ A = 'b', TOKEN = {{ file = {token:?} }} }}"
        );
        let program = Program::new(&context(dir.path()), "shop", &config(&text)).ok().unwrap();
        let command = program.command("shop-2", 3001).unwrap();
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["3001", "/opt/nines"]);
        let env: BTreeMap<_, _> = command.get_envs().collect();
        let value = |name: &str| env[OsStr::new(name)].map(|value| value.to_str().unwrap());
        assert_eq!(value("PORT"), Some("3001"));
        assert_eq!(value("INSTANCE"), Some("shop-2"));
        assert_eq!(value("A"), Some("b"));
        assert_eq!(value("TOKEN"), Some("s3cret"));
        // `None` is a variable taken away.
        assert_eq!(value("NOTIFY_SOCKET"), None);
        assert_eq!(value("HOME"), None);
    }

    #[test]
    fn an_unreadable_secret_names_the_variable() {
        let dir = tempfile::tempdir().unwrap();
        let text = "run = ['/bin/sh']\nenv = { TOKEN = { env = 'NINES_TEST_UNSET' } }";
        assert_eq!(
            refusal(dir.path(), text),
            "service shop: env TOKEN: environment variable NINES_TEST_UNSET is not set"
        );
        let text = "run = ['/bin/sh']\ndir = 'nowhere'";
        assert!(refusal(dir.path(), text).contains("/nowhere: No such file"));
    }
}
