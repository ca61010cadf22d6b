//! The only crate that talks to the kernel beyond std: sockets, handover, process groups
