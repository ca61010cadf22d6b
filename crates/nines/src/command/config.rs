//! `nines config`: the file as it holds, defaults included, and the schema of such files.

use super::Ended;
use crate::cli::ConfigArgs;
use crate::exit::Exit;
use crate::print;

pub(super) fn run(args: &ConfigArgs) -> Ended {
    if args.schema {
        print::json(&topology::json_schema());
        return Ok(Exit::Done);
    }
    let checked = topology::load(&args.file)?;
    print::err(&checked.render_warnings(print::stderr_colors()));
    print::out(&topology::effective(&checked.topology));
    Ok(Exit::Done)
}
