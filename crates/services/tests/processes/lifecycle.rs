//! Start, restart, stop.

use crate::Test;
use crate::world::{World, ask, block_on, pids, ready, runs, status, until, until_some};
use services::InstanceState;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use sys::process::Signal;

pub(crate) const TESTS: &[Test] = &[
    ("every_instance_listens_on_a_port_of_its_own", every_instance_listens_on_a_port_of_its_own),
    ("a_program_that_ends_is_started_again_and_its_end_is_told", ends_are_told),
    ("a_killed_instance_leaves_its_pools_and_comes_back_on_its_port", a_killed_instance_comes_back),
    ("what_an_instance_leaves_behind_ends_before_its_next_run", leftovers_end),
    ("a_stop_ends_whole_groups_and_those_that_ignore_sigterm", a_stop_ends_whole_groups),
    ("a_stop_leaves_time_to_finish", a_stop_leaves_time_to_finish),
    ("a_program_that_vanished_is_tried_again", a_program_that_vanished_is_tried_again),
    ("a_missing_program_refuses_the_start", a_missing_program_refuses_the_start),
];

fn every_instance_listens_on_a_port_of_its_own() {
    block_on(async {
        let world = World::new();
        let services =
            world.start("[shop]\nrun = ['$NINES', 'serve', '$PORT', 'at ${PORT}']\ninstances = 3").unwrap();
        let instances = ready(&services, "shop", 3).await;
        let names: Vec<&str> = instances.iter().map(|instance| instance.id.as_str()).collect();
        assert_eq!(names, ["shop-1", "shop-2", "shop-3"]);
        for instance in &instances {
            assert_eq!(ask(instance.address), format!("{} at {}", instance.id, instance.address.port()));
        }
        let status = &services.status()[0];
        assert_eq!((status.name.as_str(), status.instances_wanted), ("shop", 3));
        for (row, instance) in status.instances.iter().zip(&instances) {
            assert_eq!((row.state, row.restarts, &row.last_exit), (InstanceState::Running, 0, &None));
            assert_eq!((&row.name, row.port), (&instance.id, Some(instance.address.port())));
            assert!(runs(row.pid.unwrap()));
        }
        let pids = pids(&services, "shop");
        services.stop().await;
        assert!(pids.into_iter().all(|pid| !runs(pid)));
    });
}

fn ends_are_told() {
    block_on(async {
        let world = World::new();
        let services = world
            .start(
                "[job]\nrun = ['/bin/sh', '-c', 'exit 3']\nrestart = { after = '5ms', after_max = '20ms' }",
            )
            .unwrap();
        until("it was restarted twice", || status(&services, "job")[0].restarts >= 2).await;
        let last_exit = status(&services, "job")[0].last_exit.clone().unwrap();
        assert!(last_exit.starts_with("exited with status 3 after "), "{last_exit}");
        let figures = world.registry.render();
        let restarts =
            figures.lines().find(|line| line.starts_with("nines_services_restarts_total{")).unwrap();
        assert!(!restarts.ends_with(" 0"), "{restarts}");
        services.stop().await;
        assert!(services.status().is_empty());
    });
}

fn a_killed_instance_comes_back() {
    block_on(async {
        let world = World::new();
        let services =
            world.start("[shop]\nrun = ['$NINES', 'serve', '$PORT']\nrestart = { after = '50ms' }").unwrap();
        let address = ready(&services, "shop", 1).await[0].address;
        let mut seen = services.instances("shop").unwrap();
        seen.mark_unchanged();
        let pid = pids(&services, "shop")[0];
        sys::process::signal(pid, Signal::Kill).unwrap();
        seen.changed().await.unwrap();
        assert!(seen.borrow().is_empty(), "a pool still sees {:?}", seen.borrow());
        let again = ready(&services, "shop", 1).await;
        assert_eq!((again[0].id.as_str(), again[0].address), ("shop-1", address));
        let row = &status(&services, "shop")[0];
        assert_ne!(row.pid, Some(pid));
        assert_eq!(row.restarts, 1);
        assert!(row.last_exit.as_ref().unwrap().starts_with("killed by signal 9 (SIGKILL) after "));
        services.stop().await;
    });
}

fn leftovers_end() {
    block_on(async {
        let world = World::new();
        // The first run leaves a child behind and ends; the second stays.
        let script = "if [ -e child ]; then sleep 1000; fi; sleep 1000 & echo $! > child";
        let file = format!("[job]\nrun = ['/bin/sh', '-c', '{script}']\nrestart = {{ after = '5ms' }}");
        let services = world.start(&file).unwrap();
        let child = world.number_in("child").await;
        until("it was restarted", || status(&services, "job")[0].restarts == 1).await;
        assert!(!runs(child));
        services.stop().await;
    });
}

fn a_stop_ends_whole_groups() {
    block_on(async {
        let world = World::new();
        let script = r#"trap "" TERM
            (echo $(exec sh -c "echo \$PPID") > child-$INSTANCE; while :; do sleep 1000; done) &
            while :; do sleep 1000; done"#;
        let file = format!(
            "[deaf]\nrun = ['/bin/sh', '-c', '''{script}''']\ninstances = 2\nstop = {{ wait = '100ms' }}"
        );
        let services = world.start(&file).unwrap();
        let mut processes = Vec::new();
        for (instance, row) in ["deaf-1", "deaf-2"].into_iter().zip(0..) {
            processes.push(world.number_in(&format!("child-{instance}")).await);
            processes.push(status(&services, "deaf")[row].pid.unwrap());
        }
        assert!(processes.iter().all(|&pid| runs(pid)), "{processes:?}");
        services.stop().await;
        assert!(processes.iter().all(|&pid| !runs(pid)), "{processes:?}");
    });
}

fn a_stop_leaves_time_to_finish() {
    block_on(async {
        let world = World::new();
        let script = "trap \"echo 7 > finished; exit 0\" TERM; echo 1 > up; while :; do sleep 0.01; done";
        let services = world.start(&format!("[job]\nrun = ['/bin/sh', '-c', '{script}']")).unwrap();
        world.number_in("up").await;
        services.stop().await;
        assert_eq!(fs::read_to_string(world.path("finished")).unwrap().trim(), "7");
    });
}

fn a_program_that_vanished_is_tried_again() {
    block_on(async {
        let world = World::new();
        let (program, aside) = (world.path("app"), world.path("aside"));
        fs::write(&program, "#!/bin/sh\nsleep 1000\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let services =
            world.start("[job]\nrun = ['./app']\nrestart = { after = '5ms', after_max = '20ms' }").unwrap();
        let pid = until_some("it runs", || status(&services, "job")[0].pid).await;
        fs::rename(&program, &aside).unwrap();
        sys::process::signal(pid, Signal::Kill).unwrap();
        let missing = format!("cannot be started: not found at {}", world.path("./app").display());
        until("its absence is told", || status(&services, "job")[0].last_exit.as_ref() == Some(&missing))
            .await;
        fs::rename(&aside, &program).unwrap();
        until("it runs again", || status(&services, "job")[0].pid.is_some()).await;
        services.stop().await;
    });
}

fn a_missing_program_refuses_the_start() {
    block_on(async {
        let world = World::new();
        let file =
            "[good]\nrun = ['/bin/sh', '-c', 'echo 1 > ran']\n[bad]\nrun = ['no-such-program-of-mine']";
        let error = world.start(file).err().unwrap().to_string();
        assert!(
            error.starts_with("service bad: program no-such-program-of-mine: not found in PATH ("),
            "{error}"
        );
        assert!(!world.path("ran").exists());
    });
}
