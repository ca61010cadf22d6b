//! The libraries behind the codings, each brought to the same three steps. Only this file knows them.

use crate::Coding;
use crate::cells::Cells;
use brotli::enc::encode::{
    BrotliEncoderDestroyInstance, BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct,
};
use flate2::{Compress, Compression, FlushCompress, Status};
use std::fmt;
use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, ResetDirective, get_error_name};

/// The window of zstd, as a power of two: 512 KiB. A decoder must have as much; RFC 9659 allows 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 19;
/// The window of brotli, as a power of two: 256 KiB (RFC 7932 §9.1). Its buffers are a multiple of it. It is the same
/// for a short body: with one of 64 KiB or less the library takes other tables, which cost 30 times the time.
const BR_WINDOW_LOG: u32 = 18;
/// The window of gzip, as a power of two: 32 KiB, its largest (RFC 1951 §2).
const GZIP_WINDOW_LOG: u8 = 15;
/// Room in the output that a call of a library finds at least.
const ROOM_BYTES_MIN: usize = 4 << 10;
/// How much the output grows by where there is less.
const ROOM_BYTES: usize = 16 << 10;

/// What is wanted of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Take the input.
    Push,
    /// Give out all that was taken.
    Flush,
    /// Give out all, and the end.
    Finish,
}

/// One library's encoder, with its tables.
pub(crate) enum Context {
    Zstd(CCtx<'static>),
    Br(Br),
    /// Made anew for each body: zlib-rs was seen to write what no decoder reads after a reset in the middle of one.
    Gzip(Compress),
}

/// A brotli encoder, which cannot begin anew: it is made for each body, out of memory that is kept.
pub(crate) struct Br(Box<BrotliEncoderStateStruct<Cells>>);

impl Drop for Br {
    fn drop(&mut self) {
        BrotliEncoderDestroyInstance(&mut self.0);
    }
}

impl Context {
    /// A context at the beginning of a body, made from the spare one of its coding where there is one.
    pub(crate) fn ready(
        coding: Coding,
        level: u8,
        body_bytes: Option<u64>,
        spare: Option<Self>,
    ) -> Result<Self, &'static str> {
        match (coding, spare) {
            (Coding::Zstd, Some(Self::Zstd(context))) => zstd_ready(context, level, body_bytes),
            (Coding::Zstd, _) => zstd_ready(CCtx::try_create().ok_or("out of memory")?, level, body_bytes),
            (Coding::Br, _) => br_ready(level),
            (Coding::Gzip, _) => {
                Ok(Self::Gzip(Compress::new_gzip(Compression::new(level.into()), GZIP_WINDOW_LOG)))
            }
        }
    }

    pub(crate) fn coding(&self) -> Coding {
        match self {
            Self::Zstd(_) => Coding::Zstd,
            Self::Br(_) => Coding::Br,
            Self::Gzip(_) => Coding::Gzip,
        }
    }

    /// The memory of a context that can begin anew; `None` for one that cannot.
    pub(crate) fn reusable_bytes(&self) -> Option<usize> {
        match self {
            Self::Zstd(context) => Some(context.sizeof()),
            Self::Br(_) | Self::Gzip(_) => None,
        }
    }

    /// Takes all of `input`, and appends to `out` what the step asks for.
    pub(crate) fn run(&mut self, input: &[u8], step: Step, out: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Self::Zstd(context) => zstd_run(context, input, step, out),
            Self::Br(context) => br_run(&mut context.0, input, step, out),
            Self::Gzip(context) => gzip_run(context, input, step, out),
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Context").field(&self.coding()).finish()
    }
}

fn make_room(out: &mut Vec<u8>) {
    if out.capacity() - out.len() < ROOM_BYTES_MIN {
        out.reserve(ROOM_BYTES);
    }
}

fn zstd_ready(
    mut context: CCtx<'static>,
    level: u8,
    body_bytes: Option<u64>,
) -> Result<Context, &'static str> {
    let mut set = || {
        context.reset(ResetDirective::SessionOnly)?;
        context.set_parameter(CParameter::CompressionLevel(level.into()))?;
        context.set_parameter(CParameter::WindowLog(ZSTD_WINDOW_LOG))?;
        context.set_pledged_src_size(body_bytes)
    };
    set().map_err(get_error_name)?;
    Ok(Context::Zstd(context))
}

fn zstd_run(context: &mut CCtx<'_>, input: &[u8], step: Step, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let directive = match step {
        Step::Push => ZSTD_EndDirective::ZSTD_e_continue,
        Step::Flush => ZSTD_EndDirective::ZSTD_e_flush,
        Step::Finish => ZSTD_EndDirective::ZSTD_e_end,
    };
    let mut source = InBuffer::around(input);
    loop {
        make_room(out);
        let end = out.len();
        let left = context
            .compress_stream2(&mut OutBuffer::around_pos(out, end), &mut source, directive)
            .map_err(get_error_name)?;
        let is_done = if step == Step::Push { source.pos() == input.len() } else { left == 0 };
        if is_done {
            return Ok(());
        }
    }
}

fn br_ready(level: u8) -> Result<Context, &'static str> {
    let mut context = Br(Box::new(BrotliEncoderStateStruct::new(Cells)));
    let parameters = [
        (BrotliEncoderParameter::BROTLI_PARAM_QUALITY, level.into()),
        (BrotliEncoderParameter::BROTLI_PARAM_LGWIN, BR_WINDOW_LOG),
    ];
    for (parameter, value) in parameters {
        if !context.0.set_parameter(parameter, value) {
            return Err("a parameter cannot be set");
        }
    }
    Ok(Context::Br(context))
}

fn br_run(
    context: &mut BrotliEncoderStateStruct<Cells>,
    input: &[u8],
    step: Step,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let operation = match step {
        Step::Push => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
        Step::Flush => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
        Step::Finish => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
    };
    let (mut input_left, mut input_at) = (input.len(), 0);
    loop {
        let mut at = out.len();
        // Its output is a slice, and what is not written is cut off below.
        out.resize(at + ROOM_BYTES_MIN, 0);
        let is_sound = context.compress_stream(
            operation,
            &mut input_left,
            input,
            &mut input_at,
            &mut { ROOM_BYTES_MIN },
            out,
            &mut at,
            &mut None,
            &mut |_, _, _, _| (),
        );
        out.truncate(at);
        if !is_sound {
            return Err("it refuses its input");
        }
        let is_done = match step {
            Step::Push => input_left == 0 && !context.has_more_output(),
            Step::Flush => !context.has_more_output(),
            Step::Finish => context.is_finished(),
        };
        if is_done {
            return Ok(());
        }
    }
}

fn gzip_run(
    context: &mut Compress,
    mut input: &[u8],
    step: Step,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let flush = match step {
        Step::Push => FlushCompress::None,
        Step::Flush => FlushCompress::Sync,
        Step::Finish => FlushCompress::Finish,
    };
    loop {
        make_room(out);
        let taken_before = context.total_in();
        let status = context.compress_vec(input, out, flush).map_err(|_| "its state is not sound")?;
        input = &input[(context.total_in() - taken_before) as usize..];
        let is_done = match step {
            Step::Push => input.is_empty(),
            // RFC 1951 knows no word for it, and zlib's manual does: with room left, nothing is left to flush.
            Step::Flush => out.len() < out.capacity(),
            Step::Finish => status == Status::StreamEnd,
        };
        if is_done {
            return Ok(());
        }
    }
}
