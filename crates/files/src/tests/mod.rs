//! A folder of files, and requests for them.
