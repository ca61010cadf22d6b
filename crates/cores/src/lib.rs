//! The threads of the data plane, one a core, and the sockets they accept on.
