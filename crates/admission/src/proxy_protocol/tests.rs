//! Headers as they come and as they are sent.
