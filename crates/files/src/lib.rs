//! Files of a folder as HTTP answers.
