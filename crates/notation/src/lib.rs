//! How values are written in `nines.toml`, and what they mean.
//!
//! A value is checked once, here, while the file is read; behind this point its type proves it.
//! Every type both parses (`FromStr`, `Deserialize`) and prints back the shortest form of itself
//! (`Display`, `Serialize`), so that `nines config --effective` is again a valid file.
//!
//! | type         | written as                        | means                         |
//! |--------------|-----------------------------------|-------------------------------|
//! | [`Duration`] | `"250ms"`, `"2s"`, `"1m30s"`      | [`std::time::Duration`]       |
//! | [`Size`]     | `"16KiB"`, `"4GiB"`, `"512"`      | bytes                         |
//! | [`Rate`]     | `"50/s"`, `"10/m"`                | events per second             |
//! | [`Percent`]  | `"20%"`                           | a ratio between 0 and 1       |
//! | [`Name`]     | any string                        | a name with its place         |
//! | [`TextOr`]   | `"x"` or `{ … }`                  | a table with a short form     |
//! | [`OneOrMany`]| `{ … }` or `[{ … }, …]`           | a list with a short form      |
//! | [`Listen`]   | `"a"` or `["a", "b"]`         | addresses with ports          |
//! | [`LogTarget`]| `"stdout"`, `"a.log"`           | where lines of a log go       |
//! | [`Secret`]   | `{ env = "X" }`, `{ file = "x" }` | a value that is never printed |
//!
//! A check that needs more than one value reports to [`Faults`], which keeps all of them.

mod duration;
mod faults;
mod listen;
mod log_target;
mod name;
mod percent;
mod rate;
mod secret;
mod shorthand;
mod size;
mod text;

pub use duration::Duration;
pub use faults::{Fault, Faults, nearest};
pub use listen::Listen;
pub use log_target::LogTarget;
pub use name::{Name, Named};
pub use percent::Percent;
pub use rate::Rate;
pub use secret::{Secret, SecretError};
pub use shorthand::{OneOrMany, TextOr};
pub use size::Size;
pub use text::{FORMATS, Malformed, check_format};
