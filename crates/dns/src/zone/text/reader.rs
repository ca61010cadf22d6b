//! Entries of a zone file, one after the other: directives and records.

use super::field::Origin;
use super::generate::generate;
use super::rdata::rdata;
use super::token::{Scanner, Token, Wrong};
use super::ttl::{TTL_MAX, seconds};
use crate::protocol::Name;
use crate::zone::build::{TOO_LARGE, ZoneBuilder};
use crate::zone::fault::Fault;
use crate::zone::records::is_stored;
use domain::base::iana::{Class, Rtype};
use std::path::Path;
use std::sync::Arc;

/// Reads one file or text.
pub(super) struct Reader<'b, 'p> {
    builder: &'b mut ZoneBuilder,
    source: &'p Arc<str>,
    /// The file; what it includes lies beside it.
    path: Option<&'p Path>,
    /// Files that are being read because of each other.
    depth: usize,
    /// What relative names end with, in wire form.
    origin: Vec<u8>,
    /// `$TTL`.
    ttl: Option<u32>,
    /// The TTL of the record before.
    last_ttl: Option<u32>,
    owner: Owner,
    wire: Vec<u8>,
}

/// The owner of the record before.
#[derive(Clone, Copy)]
enum Owner {
    Unknown,
    Name(u32),
    /// It is outside the zone, or no name. That was said.
    Bad,
}

impl<'b, 'p> Reader<'b, 'p> {
    pub(super) fn new(builder: &'b mut ZoneBuilder, source: &'p Arc<str>, path: Option<&'p Path>) -> Self {
        let origin = builder.names.apex().as_wire().to_vec();
        builder.begin_source(source);
        let (ttl, last_ttl, owner) = (None, None, Owner::Unknown);
        Self { builder, source, path, depth: 1, origin, ttl, last_ttl, owner, wire: Vec::new() }
    }

    pub(super) fn read(mut self, text: &[u8]) {
        let mut scanner = Scanner::new(text);
        while !scanner.is_at_end() {
            self.entry(&mut scanner);
        }
    }

    /// One entry; what is wrong with it is noted, and the next one follows.
    fn entry(&mut self, scanner: &mut Scanner<'_>) {
        let line = scanner.line();
        let is_blank = scanner.begins_blank();
        let read = match scanner.next() {
            Ok(None) => return,
            Ok(Some(first)) if first.bytes.first() == Some(&b'$') && !first.is_quoted => {
                self.directive(first, scanner)
            }
            Ok(Some(first)) => self.record(first, is_blank, scanner, line),
            Err(wrong) => Err(wrong),
        };
        if let Err(wrong) = read {
            self.note(wrong);
            scanner.skip_entry();
        }
    }

    #[cold]
    fn note(&mut self, wrong: Wrong) {
        let Wrong { line, column, message } = wrong;
        let source = Arc::clone(self.source);
        self.builder.errors.add(|| Fault { source, line, column, message: message.into_owned() });
    }

    fn directive(&mut self, first: Token<'_>, scanner: &mut Scanner<'_>) -> Result<(), Wrong> {
        match first.bytes.to_ascii_uppercase().as_slice() {
            b"$ORIGIN" => {
                let name = demand(scanner, &first, "$ORIGIN needs a name")?;
                self.origin = self.name(&name)?;
                end(scanner)
            }
            b"$TTL" => {
                let time = demand(scanner, &first, "$TTL needs a time")?;
                self.ttl = Some(ttl(&time)?);
                end(scanner)
            }
            b"$INCLUDE" => self.include(&first, scanner),
            b"$GENERATE" => {
                let limit = self.builder.limits().generated_max;
                generate(&first, scanner, limit, |text| {
                    let mut line = Scanner::within(text, first.line);
                    match line.next()? {
                        Some(owner) => self.record(owner, false, &mut line, first.line),
                        None => Ok(()),
                    }
                })
            }
            _ => Err(first.wrong(format!(
                "unknown directive {} (known: $ORIGIN, $TTL, $INCLUDE, $GENERATE)",
                first.shown()
            ))),
        }
    }

    /// RFC 1035 §5.1: the file's records, with another origin if one is given; ours is the same afterwards.
    fn include(&mut self, first: &Token<'_>, scanner: &mut Scanner<'_>) -> Result<(), Wrong> {
        let named = demand(scanner, first, "$INCLUDE needs a file")?;
        let origin = match scanner.next()? {
            Some(name) => {
                let origin = self.name(&name)?;
                end(scanner)?;
                origin
            }
            None => self.origin.clone(),
        };
        let Some(path) = self.path else {
            return Err(named.wrong("$INCLUDE stands in a file only"));
        };
        let depth_max = self.builder.limits().include_depth_max;
        if self.depth >= depth_max {
            return Err(
                named.wrong(format!("$INCLUDE is {depth_max} files deep (max {depth_max}): in a circle?"))
            );
        }
        if !self.builder.count_include() {
            let includes_max = self.builder.limits().includes_max;
            return Err(named.wrong(format!("more than {includes_max} files are included: in a circle?")));
        }
        let file =
            std::str::from_utf8(named.bytes).map_err(|_| named.wrong("the file's name is not UTF-8"))?;
        let path = path.parent().unwrap_or(Path::new("")).join(file);
        let text = std::fs::read(&path)
            .map_err(|error| named.wrong(format!("cannot include {}: {error}", path.display())))?;
        let source: Arc<str> = path.display().to_string().into();
        self.builder.begin_source(&source);
        self.builder.files.push(path.clone());
        Reader {
            builder: self.builder,
            source: &source,
            path: Some(&path),
            depth: self.depth + 1,
            origin,
            ttl: self.ttl,
            last_ttl: self.last_ttl,
            owner: self.owner,
            wire: Vec::new(),
        }
        .read(&text);
        self.builder.begin_source(self.source);
        Ok(())
    }

    /// `[owner] [TTL] [class] type data`, with TTL and class in any order.
    fn record(
        &mut self,
        first: Token<'_>,
        is_blank: bool,
        scanner: &mut Scanner<'_>,
        line: u32,
    ) -> Result<(), Wrong> {
        let mut token = first;
        if !is_blank {
            self.owner = Owner::Bad;
            self.owner = self.owner(&first)?;
            token = demand(scanner, &first, "a record needs a type")?;
        }
        let (mut own_ttl, mut has_class) = (None, false);
        let rtype = loop {
            if own_ttl.is_none() && token.bytes[..].first().is_some_and(u8::is_ascii_digit) {
                own_ttl = Some(ttl(&token)?);
            } else if let Some(rtype) = usual_type(token.bytes) {
                break rtype;
            } else if let Some(class) = class(token.bytes).filter(|_| !has_class) {
                if class != Class::IN {
                    return Err(token.wrong(format!("class {class}: a zone has class IN")));
                }
                has_class = true;
            } else {
                break any_type(&token)?;
            }
            token = demand(scanner, &token, "a record needs a type")?;
        };
        let mut data = std::mem::take(&mut self.wire);
        data.clear();
        let read = self.data(rtype, own_ttl, &token, scanner, line, &mut data);
        self.wire = data;
        read
    }

    /// The data of a record, which is added.
    fn data(
        &mut self,
        rtype: Rtype,
        own_ttl: Option<u32>,
        token: &Token<'_>,
        scanner: &mut Scanner<'_>,
        line: u32,
        data: &mut Vec<u8>,
    ) -> Result<(), Wrong> {
        rdata(rtype, token, scanner, Origin(&self.origin), data)?;
        let ttl = match own_ttl.or(self.ttl).or(self.last_ttl) {
            Some(ttl) => ttl,
            // As BIND does, since RFC 1035 meant the minimum to be the default.
            None if rtype == Rtype::SOA => {
                data.last_chunk().map_or(0, |minimum| u32::from_be_bytes(*minimum)).min(TTL_MAX)
            }
            None => return Err(token.wrong("no TTL is known here: put `$TTL 1h` at the top, or write one")),
        };
        self.last_ttl = Some(ttl);
        match self.owner {
            Owner::Bad => Ok(()),
            Owner::Unknown => Err(token.wrong("the first record needs an owner")),
            Owner::Name(owner) => {
                self.builder.add(owner, rtype, ttl, line, data).map_err(|message| token.wrong(message))
            }
        }
    }

    #[inline]
    fn owner(&mut self, token: &Token<'_>) -> Result<Owner, Wrong> {
        if self.builder.is_too_large() {
            return Err(token.wrong(TOO_LARGE));
        }
        let mut wire = std::mem::take(&mut self.wire);
        wire.clear();
        let written = Origin(&self.origin).name(token, &mut wire);
        let name = Name::from_wire(&wire);
        self.wire = wire;
        written?;
        let name = name.map_err(|error| token.wrong(error.to_string()))?;
        match self.builder.names.intern(&name) {
            Some(id) => Ok(Owner::Name(id)),
            None => {
                let apex = self.builder.names.apex();
                Err(token.wrong(format!("{name} is outside the zone {apex}")))
            }
        }
    }

    fn name(&self, token: &Token<'_>) -> Result<Vec<u8>, Wrong> {
        let mut wire = Vec::new();
        Origin(&self.origin).name(token, &mut wire)?;
        Ok(wire)
    }
}

/// The next token, which must be there.
fn demand<'t>(
    scanner: &mut Scanner<'t>,
    before: &Token<'_>,
    message: &'static str,
) -> Result<Token<'t>, Wrong> {
    scanner.next()?.ok_or_else(|| before.wrong(message))
}

fn end(scanner: &mut Scanner<'_>) -> Result<(), Wrong> {
    match scanner.next()? {
        None => Ok(()),
        Some(token) => Err(token.wrong(format!("`{}` is too much here", token.shown()))),
    }
}

fn ttl(token: &Token<'_>) -> Result<u32, Wrong> {
    match seconds(token.bytes) {
        Some(ttl) if ttl <= TTL_MAX => Ok(ttl),
        Some(_) => Err(token.wrong(format!("TTL {} (max {TTL_MAX} seconds)", token.shown()))),
        None => Err(token.wrong(format!("`{}` is no TTL (as 3600, or 1h30m)", token.shown()))),
    }
}

fn class(text: &[u8]) -> Option<Class> {
    [Class::IN, Class::CH, Class::HS, Class::NONE, Class::ANY]
        .into_iter()
        .find(|class| class.to_string().as_bytes().eq_ignore_ascii_case(text))
        .or_else(|| numbered(text, b"CLASS").map(Class::from_int))
}

/// Those that nearly all records have, without a look at each of the others.
#[inline]
fn usual_type(text: &[u8]) -> Option<Rtype> {
    Some(match text {
        b"A" => Rtype::A,
        b"AAAA" => Rtype::AAAA,
        b"NS" => Rtype::NS,
        b"CNAME" => Rtype::CNAME,
        b"MX" => Rtype::MX,
        b"TXT" => Rtype::TXT,
        b"PTR" => Rtype::PTR,
        b"SRV" => Rtype::SRV,
        b"SOA" => Rtype::SOA,
        b"DS" => Rtype::DS,
        b"RRSIG" => Rtype::RRSIG,
        b"NSEC3" => Rtype::NSEC3,
        _ => return None,
    })
}

pub(super) fn any_type(token: &Token<'_>) -> Result<Rtype, Wrong> {
    let rtype = Rtype::from_mnemonic(token.bytes)
        .or_else(|| numbered(token.bytes, b"TYPE").map(Rtype::from_int))
        .ok_or_else(|| token.wrong(format!("`{}` is no type of record", token.shown())))?;
    if !is_stored(rtype) {
        return Err(token.wrong(format!("{rtype} is no type of record that a zone has")));
    }
    Ok(rtype)
}

/// RFC 3597 §5: `TYPE65280`, `CLASS1`.
fn numbered(text: &[u8], prefix: &[u8]) -> Option<u16> {
    let (word, digits) = text.split_at_checked(prefix.len())?;
    if !word.eq_ignore_ascii_case(prefix) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
