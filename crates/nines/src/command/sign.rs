//! `nines sign`: a URL, or a cookie, that a route with `signed` lets in. It takes the file's keys, and asks no node.

use super::Ended;
use crate::cli::SignArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::print;
use std::time::SystemTime;
use topology::SignWish;

pub(super) fn run(args: &SignArgs) -> Ended {
    let checked = topology::load(&args.file)?;
    let wish = SignWish {
        url: args.url.clone(),
        lifetime: args.expires.get(),
        below: args.prefix,
        client: args.client.clone(),
        key: args.key.clone(),
    };
    let signed = topology::sign_url(&checked, &wish, SystemTime::now());
    let signed = signed.map_err(|error| Failure::Failed(error.to_string()))?;
    let signed = signed.ok_or_else(|| Failure::Failed("the file has no `[edge]`".into()))?;
    print::out(&format!("{}\n", if args.cookie { signed.cookie } else { signed.url }));
    Ok(Exit::Done)
}
