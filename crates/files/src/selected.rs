//! The answer about a file that is open and was chosen: conditions first, then ranges.

use crate::answer::{Answer, Body, Representation};
use crate::condition::{Verdict, decide};
use crate::multipart::{Boundaries, content_range, parts};
use crate::range::{Ranges, ranges};
use crate::reading::OpenFile;
use crate::request::{Method, Request};
use crate::types::MediaType;
use crate::validators::Validators;
use encoding::Coding;
use std::ops::Range;

/// The representation that answers a request.
pub(crate) struct Selected {
    pub(crate) file: OpenFile,
    /// How long it is, in bytes.
    pub(crate) size: u64,
    pub(crate) validators: Validators,
    /// The file's own type, whatever it is coded in.
    pub(crate) content_type: MediaType,
    pub(crate) coding: Option<Coding>,
    /// Whether another client could get another one of it.
    pub(crate) is_vary_said: bool,
}

impl Selected {
    pub(crate) fn answer(
        self,
        request: &Request<'_>,
        cache_control: Option<&[u8]>,
        boundaries: &Boundaries,
    ) -> Answer {
        let validators = &self.validators;
        let verdict = decide(&request.fields, validators);
        let Verdict::Proceed { with_range } = verdict else {
            if verdict == Verdict::Failed {
                return Answer::new(412);
            }
            // RFC 9110 §15.4.5: what a 200 would say to caches, and nothing that they have.
            let mut answer = Answer::new(304);
            self.describe(cache_control, &mut answer);
            return answer;
        };
        let size = self.size;
        // §14.2: ranges are of GET alone.
        let wanted = match &request.fields.range {
            Some(field) if with_range && request.method == Method::Get => ranges(field, size),
            _ => Ranges::Whole,
        };
        let mut answer = match wanted {
            Ranges::Unsatisfiable => return unsatisfiable(size),
            Ranges::Parts(ranges) if ranges.len() == 1 => self.range(206, &ranges[0]),
            // Whether a coding is of the parts or of the multipart around them, nobody says: the whole is sent.
            Ranges::Parts(ranges) if self.coding.is_none() => {
                self.multipart(&ranges, &boundaries.of(&validators.etag))
            }
            Ranges::Parts(_) | Ranges::Whole => self.range(200, &(0..size)),
        };
        if let Some(coding) = self.coding {
            answer.line("Content-Encoding", coding.token().as_bytes());
        }
        answer.line("Last-Modified", validators.last_modified().as_bytes());
        answer.line("Accept-Ranges", b"bytes");
        self.describe(cache_control, &mut answer);
        answer.content_length = Some(answer.body.len());
        if request.method == Method::Head {
            answer.body = Body::Empty;
        }
        answer
    }

    /// One range, or all.
    fn range(&self, status: u16, range: &Range<u64>) -> Answer {
        let mut answer = Answer::new(status);
        answer.line("Content-Type", self.content_type.as_bytes());
        if status == 206 {
            answer.line("Content-Range", content_range(range, self.size).as_bytes());
        }
        let (offset, len) = (range.start, range.end - range.start);
        answer.body = Body::File { file: self.file.clone(), offset, len };
        answer
    }

    fn multipart(&self, ranges: &[Range<u64>], boundary: &str) -> Answer {
        let mut answer = Answer::new(206);
        answer.line("Content-Type", format!("multipart/byteranges; boundary={boundary}").as_bytes());
        let parts = parts(ranges, self.size, Some(&self.content_type), boundary);
        answer.body = Body::Parts { file: self.file.clone(), parts };
        answer
    }

    /// What 200, 206 and 304 say alike.
    fn describe(&self, cache_control: Option<&[u8]>, answer: &mut Answer) {
        let etag = answer.line("ETag", self.validators.etag.as_bytes());
        if self.is_vary_said {
            answer.line("Vary", b"Accept-Encoding");
        }
        if let Some(value) = cache_control {
            answer.line("Cache-Control", value);
        }
        answer.representation = Some(Representation {
            content_type: self.content_type.clone(),
            coding: self.coding,
            etag: Some(etag),
            is_vary_said: self.is_vary_said,
        });
    }
}

/// RFC 9110 §15.5.17.
fn unsatisfiable(size: u64) -> Answer {
    let mut answer = Answer::new(416);
    answer.line("Content-Range", format!("bytes */{size}").as_bytes());
    answer.line("Accept-Ranges", b"bytes");
    answer
}
