//! IFP packets: indicators and T.30 data, as aligned PER. Read T.38 clause 7 and annex A (1998 and 2002 ASN.1) before changing a bit.
//!
//! Two levels, as in smoltcp: [`Packet`] is a value that owns its bytes within bounds; [`parse`] and [`Packet::emit`] are the only places
//! where bits are known. The two ASN.1 texts differ in one place: the 1998 `field-type` has no extension marker, so a field header is
//! 4 bits in version 0 and 5 bits (or 9, extended) later. Extension values (V.8, V.34, V.33) are parsed and can be emitted, so that
//! nothing is refused as malformed that is merely of no use to us.
//!
//! Seen in the field: peers that align every field header to an octet, although PER does not. Where the strict reading fails, the
//! aligned one is tried (only headers without data followed by another field differ).

use crate::limits::{IFP_BYTES_MAX, IFP_FIELDS_MAX};
use core::fmt;

/// Which ASN.1 text the peer speaks: `T38FaxVersion` 0 is the 1998 one, everything later the 2002 one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Syntax {
    /// T.38 (06/1998), version 0.
    #[default]
    Asn1998,
    /// T.38 (2002) and later, versions 1 and up.
    Asn2002,
}

impl Syntax {
    /// The syntax of a `T38FaxVersion`.
    pub const fn of_version(version: u8) -> Self {
        if version == 0 { Syntax::Asn1998 } else { Syntax::Asn2002 }
    }
}

macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident, $root:expr, { $($variant:ident = $n:expr, $text:expr;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        #[allow(missing_docs)] // the names are the Recommendation's
        pub enum $name { $($variant = $n,)* }
        impl $name {
            /// Values below this are in the root of the enumeration; the others are its extensions.
            const ROOT: u8 = $root;
            /// All values, in the order of the ASN.1.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            const fn from_number(n: u8) -> Option<Self> {
                match n { $($n => Some($name::$variant),)* _ => None }
            }
            /// The name in the ASN.1.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.name()) }
        }
    };
}

numbered! {
    /// `t30-indicator`: what kind of signal is on the sender's line.
    Indicator, 16, {
        NoSignal = 0, "no-signal";
        Cng = 1, "cng";
        Ced = 2, "ced";
        V21Preamble = 3, "v21-preamble";
        V27Training2400 = 4, "v27-2400-training";
        V27Training4800 = 5, "v27-4800-training";
        V29Training7200 = 6, "v29-7200-training";
        V29Training9600 = 7, "v29-9600-training";
        V17Short7200 = 8, "v17-7200-short-training";
        V17Long7200 = 9, "v17-7200-long-training";
        V17Short9600 = 10, "v17-9600-short-training";
        V17Long9600 = 11, "v17-9600-long-training";
        V17Short12000 = 12, "v17-12000-short-training";
        V17Long12000 = 13, "v17-12000-long-training";
        V17Short14400 = 14, "v17-14400-short-training";
        V17Long14400 = 15, "v17-14400-long-training";
        V8Ansam = 16, "v8-ansam";
        V8Signal = 17, "v8-signal";
        V34ControlChannel1200 = 18, "v34-cntl-channel-1200";
        V34PrimaryChannel = 19, "v34-pri-channel";
        V34ControlChannelRetrain = 20, "v34-CC-retrain";
        V33Training12000 = 21, "v33-12000-training";
        V33Training14400 = 22, "v33-14400-training";
    }
}

numbered! {
    /// `t30-data`: which modem carried the data.
    DataType, 9, {
        V21 = 0, "v21";
        V27At2400 = 1, "v27-2400";
        V27At4800 = 2, "v27-4800";
        V29At7200 = 3, "v29-7200";
        V29At9600 = 4, "v29-9600";
        V17At7200 = 5, "v17-7200";
        V17At9600 = 6, "v17-9600";
        V17At12000 = 7, "v17-12000";
        V17At14400 = 8, "v17-14400";
        V8 = 9, "v8";
        V34PrimaryRate = 10, "v34-pri-rate";
        V34ControlChannel1200 = 11, "v34-CC-1200";
        V34PrimaryChannel = 12, "v34-pri-ch";
        V33At12000 = 13, "v33-12000";
        V33At14400 = 14, "v33-14400";
    }
}

numbered! {
    /// `field-type`: what a piece of data is.
    FieldType, 8, {
        HdlcData = 0, "hdlc-data";
        HdlcSigEnd = 1, "hdlc-sig-end";
        HdlcFcsOk = 2, "hdlc-fcs-OK";
        HdlcFcsBad = 3, "hdlc-fcs-BAD";
        HdlcFcsOkSigEnd = 4, "hdlc-fcs-OK-sig-end";
        HdlcFcsBadSigEnd = 5, "hdlc-fcs-BAD-sig-end";
        T4NonEcmData = 6, "t4-non-ecm-data";
        T4NonEcmSigEnd = 7, "t4-non-ecm-sig-end";
        CmMessage = 8, "cm-message";
        JmMessage = 9, "jm-message";
        CiMessage = 10, "ci-message";
        V34Rate = 11, "v34rate";
    }
}

impl FieldType {
    /// True for the fields that end the carrier.
    pub const fn ends_signal(self) -> bool {
        matches!(self, FieldType::HdlcSigEnd | FieldType::HdlcFcsOkSigEnd | FieldType::HdlcFcsBadSigEnd | FieldType::T4NonEcmSigEnd)
    }
    /// `Some(true)` if this field says an HDLC frame ended with a good FCS, `Some(false)` with a bad one.
    pub const fn fcs(self) -> Option<bool> {
        match self {
            FieldType::HdlcFcsOk | FieldType::HdlcFcsOkSigEnd => Some(true),
            FieldType::HdlcFcsBad | FieldType::HdlcFcsBadSigEnd => Some(false),
            _ => None,
        }
    }
}

impl DataType {
    /// Bits a second of this modem; 0 for the ones that are not G3 data modems.
    pub const fn bps(self) -> u32 {
        match self {
            DataType::V21 => 300,
            DataType::V27At2400 => 2400,
            DataType::V27At4800 => 4800,
            DataType::V29At7200 | DataType::V17At7200 => 7200,
            DataType::V29At9600 | DataType::V17At9600 => 9600,
            DataType::V17At12000 | DataType::V33At12000 => 12000,
            DataType::V17At14400 | DataType::V33At14400 => 14400,
            DataType::V8 | DataType::V34PrimaryRate | DataType::V34ControlChannel1200 | DataType::V34PrimaryChannel => 0,
        }
    }
    /// True for the image modems of group 3: everything faster than V.21 that this relay knows.
    pub const fn is_fast(self) -> bool {
        (self as u8) >= DataType::V27At2400 as u8 && (self as u8) <= DataType::V17At14400 as u8
    }
}

impl Indicator {
    /// The data that may follow this indicator.
    pub const fn announces(self) -> Option<DataType> {
        Some(match self {
            Indicator::V21Preamble => DataType::V21,
            Indicator::V27Training2400 => DataType::V27At2400,
            Indicator::V27Training4800 => DataType::V27At4800,
            Indicator::V29Training7200 => DataType::V29At7200,
            Indicator::V29Training9600 => DataType::V29At9600,
            Indicator::V17Short7200 | Indicator::V17Long7200 => DataType::V17At7200,
            Indicator::V17Short9600 | Indicator::V17Long9600 => DataType::V17At9600,
            Indicator::V17Short12000 | Indicator::V17Long12000 => DataType::V17At12000,
            Indicator::V17Short14400 | Indicator::V17Long14400 => DataType::V17At14400,
            Indicator::V8Signal => DataType::V8,
            Indicator::V34ControlChannel1200 => DataType::V34ControlChannel1200,
            Indicator::V34PrimaryChannel => DataType::V34PrimaryChannel,
            Indicator::V33Training12000 => DataType::V33At12000,
            Indicator::V33Training14400 => DataType::V33At14400,
            Indicator::NoSignal | Indicator::Cng | Indicator::Ced | Indicator::V8Ansam | Indicator::V34ControlChannelRetrain => {
                return None;
            }
        })
    }
    /// True for the training of an image modem of group 3.
    pub const fn is_fast(self) -> bool {
        (self as u8) >= Indicator::V27Training2400 as u8 && (self as u8) <= Indicator::V17Long14400 as u8
    }
}

/// One field of a data packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field<'a> {
    /// What it is.
    pub kind: FieldType,
    /// Its octets, as T.38 carries them: first bit on the line is the most significant. Empty if the field has none.
    pub data: &'a [u8],
}

/// An IFP packet.
// A packet owns its bytes without a heap, so the two variants cannot be of a size.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packet {
    /// The line's signal changed.
    Indicator(Indicator),
    /// Data that came by a modem.
    Data(Data),
}

/// The data of a packet: which modem, and its fields, owned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Data {
    modem: DataType,
    fields: heapless::Vec<(FieldType, u16), IFP_FIELDS_MAX>,
    bytes: heapless::Vec<u8, IFP_BYTES_MAX>,
}

/// Why bytes are no IFP packet. Always the sender's fault, except [`Error::TooLong`] and [`Error::TooManyFields`]: those are our bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// It ends in the middle of something.
    Truncated,
    /// An indicator with a data field.
    DataWithIndicator,
    /// A data packet whose `data-field` is missing: there is nothing in it.
    NoData,
    /// An enumeration value that no edition knows.
    Unknown,
    /// A length determinant that PER does not allow here.
    BadLength,
    /// Octets behind the end.
    TrailingOctets,
    /// More octets than the bound in `limits.rs`.
    TooLong,
    /// More fields than the bound in `limits.rs`.
    TooManyFields,
    /// (emit) this value does not exist in the 1998 text, or the buffer is too short.
    CannotEmit,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::Truncated => "the IFP packet is truncated",
            Error::DataWithIndicator => "an IFP indicator carries a data field",
            Error::NoData => "an IFP data packet carries no data field",
            Error::Unknown => "the IFP packet has an enumeration value of no edition",
            Error::BadLength => "the IFP packet has a length that PER does not allow",
            Error::TrailingOctets => "there are octets behind the IFP packet",
            Error::TooLong => "the IFP packet is longer than we take",
            Error::TooManyFields => "the IFP packet has more fields than we take",
            Error::CannotEmit => "the IFP packet cannot be expressed in this syntax or buffer",
        })
    }
}
impl std::error::Error for Error {}

impl Data {
    /// Data of this modem, without fields yet.
    pub const fn new(modem: DataType) -> Self {
        Data { modem, fields: heapless::Vec::new(), bytes: heapless::Vec::new() }
    }
    /// Adds a field.
    pub fn push(&mut self, kind: FieldType, data: &[u8]) -> Result<(), Error> {
        let len = u16::try_from(data.len()).map_err(|_| Error::TooLong)?;
        if self.bytes.len() + data.len() > IFP_BYTES_MAX {
            return Err(Error::TooLong);
        }
        self.fields.push((kind, len)).map_err(|_| Error::TooManyFields)?;
        self.bytes.extend_from_slice(data).map_err(|_| Error::TooLong)
    }
    /// Data of this modem with one field.
    pub fn one(modem: DataType, kind: FieldType, data: &[u8]) -> Result<Self, Error> {
        let mut d = Data::new(modem);
        d.push(kind, data)?;
        Ok(d)
    }
    /// Which modem.
    pub const fn modem(&self) -> DataType {
        self.modem
    }
    /// The fields in order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let mut rest: &[u8] = &self.bytes;
        self.fields.iter().map(move |(kind, len)| {
            let (data, after) = rest.split_at(usize::from(*len));
            rest = after;
            Field { kind: *kind, data }
        })
    }
}

/// Reads one packet that fills `bytes`.
pub fn parse(bytes: &[u8], syntax: Syntax) -> Result<Packet, Error> {
    let (packet, used) = parse_prefix(bytes, syntax)?;
    if used == bytes.len() { Ok(packet) } else { Err(Error::TrailingOctets) }
}

/// Reads one packet that may be followed by zero octets: what FEC gives back, since parity does not know the length (T.38 annex C).
pub fn parse_padded(bytes: &[u8], syntax: Syntax) -> Result<Packet, Error> {
    let (packet, used) = parse_prefix(bytes, syntax)?;
    if bytes[used..].iter().all(|b| *b == 0) { Ok(packet) } else { Err(Error::TrailingOctets) }
}

fn parse_prefix(bytes: &[u8], syntax: Syntax) -> Result<(Packet, usize), Error> {
    let strict = parse_with(bytes, syntax, false);
    // Both readings may fit; then the one whose padding is zero is the one that was meant.
    let doubtful = !matches!(&strict, Ok((_, used, padding_zero)) if *padding_zero && *used == bytes.len());
    if doubtful
        && let Ok((packet, used, true)) = parse_with(bytes, syntax, true)
        && used == bytes.len()
    {
        return Ok((packet, used));
    }
    strict.map(|(packet, used, _)| (packet, used))
}

fn parse_with(bytes: &[u8], syntax: Syntax, align_fields: bool) -> Result<(Packet, usize, bool), Error> {
    if bytes.len() > IFP_BYTES_MAX {
        return Err(Error::TooLong);
    }
    let mut r = Bits { bytes, at: 0 };
    let has_data = r.take(1)? == 1;
    if r.take(1)? == 0 {
        let n = enumerated(&mut r, 4, Indicator::ROOT)?;
        let indicator = Indicator::from_number(n).ok_or(Error::Unknown)?;
        return if has_data { Err(Error::DataWithIndicator) } else { Ok((Packet::Indicator(indicator), r.octets_used(), true)) };
    }
    let modem = DataType::from_number(enumerated(&mut r, 4, DataType::ROOT)?).ok_or(Error::Unknown)?;
    if !has_data {
        return Err(Error::NoData);
    }
    let mut data = Data::new(modem);
    let count = length_determinant(&mut r)?;
    if count > IFP_FIELDS_MAX {
        return Err(Error::TooManyFields);
    }
    for _ in 0..count {
        if align_fields {
            r.align();
        }
        let field_has_data = r.take(1)? == 1;
        let n = match syntax {
            Syntax::Asn1998 => r.take(3)? as u8,
            Syntax::Asn2002 => enumerated(&mut r, 3, FieldType::ROOT)?,
        };
        let kind = FieldType::from_number(n).ok_or(Error::Unknown)?;
        let octets = if field_has_data {
            r.align();
            let len = r.take(16)? as usize + 1;
            // SIZE (1..65535): 65,535 coded would be 65,536 octets, which the type does not allow; our bound is far below either.
            r.octets(len)?
        } else {
            &[]
        };
        data.push(kind, octets)?;
    }
    Ok((Packet::Data(data), r.octets_used(), r.padding_is_zero()))
}

/// An extensible ENUMERATED: a flag, then the root value in `bits` bits, or the extension as a normally small number.
fn enumerated(r: &mut Bits<'_>, bits: u32, root: u8) -> Result<u8, Error> {
    if r.take(1)? == 0 {
        let n = r.take(bits)? as u8;
        return if n < root { Ok(n) } else { Err(Error::Unknown) };
    }
    // "Normally small" beyond 63 takes another form; no edition has so many extensions.
    if r.take(1)? == 1 {
        return Err(Error::Unknown);
    }
    Ok(root + r.take(6)? as u8)
}

fn length_determinant(r: &mut Bits<'_>) -> Result<usize, Error> {
    r.align();
    let first = r.take(8)? as usize;
    match first {
        0..=0x7F => Ok(first),
        0x80..=0xBF => Ok((first & 0x3F) << 8 | r.take(8)? as usize),
        // Fragments begin at 16,384 items: far above our bounds.
        _ => Err(Error::BadLength),
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    fn take(&mut self, n: u32) -> Result<u32, Error> {
        let mut v = 0;
        for _ in 0..n {
            let byte = self.bytes.get(self.at / 8).ok_or(Error::Truncated)?;
            v = v << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Ok(v)
    }
    fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }
    fn octets(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let from = self.at / 8;
        let got = self.bytes.get(from..from + n).ok_or(Error::Truncated)?;
        self.at += 8 * n;
        Ok(got)
    }
    fn padding_is_zero(&self) -> bool {
        self.at.is_multiple_of(8) || self.bytes[self.at / 8] << (self.at % 8) == 0
    }
    fn octets_used(&self) -> usize {
        self.at.div_ceil(8)
    }
}

impl Packet {
    /// Writes the packet to `out`; says how many octets it took.
    pub fn emit(&self, syntax: Syntax, out: &mut [u8]) -> Result<usize, Error> {
        let mut w = Writer { out, at: 0 };
        match self {
            Packet::Indicator(i) => {
                w.put(0b00, 2)?;
                put_enumerated(&mut w, *i as u8, 4, Indicator::ROOT)?;
            }
            Packet::Data(d) => {
                w.put(0b11, 2)?;
                put_enumerated(&mut w, d.modem as u8, 4, DataType::ROOT)?;
                w.align();
                w.put(d.fields.len() as u32, 8)?;
                for field in d.fields() {
                    w.put(u32::from(!field.data.is_empty()), 1)?;
                    match syntax {
                        Syntax::Asn1998 if field.kind as u8 >= FieldType::ROOT => return Err(Error::CannotEmit),
                        Syntax::Asn1998 => w.put(field.kind as u32, 3)?,
                        Syntax::Asn2002 => put_enumerated(&mut w, field.kind as u8, 3, FieldType::ROOT)?,
                    }
                    if !field.data.is_empty() {
                        w.align();
                        w.put(field.data.len() as u32 - 1, 16)?;
                        w.octets(field.data)?;
                    }
                }
            }
        }
        Ok(w.at.div_ceil(8))
    }
}

fn put_enumerated(w: &mut Writer<'_>, n: u8, bits: u32, root: u8) -> Result<(), Error> {
    if n < root { w.put(u32::from(n), bits + 1) } else { w.put(0b10 << 6 | u32::from(n - root), 8) }
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, v: u32, n: u32) -> Result<(), Error> {
        for i in (0..n).rev() {
            let byte = self.out.get_mut(self.at / 8).ok_or(Error::CannotEmit)?;
            if self.at.is_multiple_of(8) {
                *byte = 0;
            }
            *byte |= ((v >> i & 1) as u8) << (7 - self.at % 8);
            self.at += 1;
        }
        Ok(())
    }
    fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }
    fn octets(&mut self, data: &[u8]) -> Result<(), Error> {
        let from = self.at / 8;
        self.out.get_mut(from..from + data.len()).ok_or(Error::CannotEmit)?.copy_from_slice(data);
        self.at += 8 * data.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes_of(p: &Packet, syntax: Syntax) -> Vec<u8> {
        let mut b = [0u8; 2 * IFP_BYTES_MAX];
        let n = p.emit(syntax, &mut b).expect("fits");
        b[..n].to_vec()
    }

    #[test]
    fn known_packets_have_the_octets_of_the_recommendation() {
        let i = |i| Packet::Indicator(i);
        let d = |m, k, b: &[u8]| Packet::Data(Data::one(m, k, b).unwrap());
        let table: &[(Packet, Syntax, &[u8])] = &[
            (i(Indicator::NoSignal), Syntax::Asn1998, &[0x00]),
            (i(Indicator::Ced), Syntax::Asn1998, &[0x04]),
            (i(Indicator::V21Preamble), Syntax::Asn2002, &[0x06]),
            (i(Indicator::V17Long14400), Syntax::Asn1998, &[0x1E]),
            (i(Indicator::V8Ansam), Syntax::Asn2002, &[0x20, 0x00]),
            (i(Indicator::V33Training14400), Syntax::Asn2002, &[0x21, 0x80]),
            (d(DataType::V21, FieldType::HdlcData, &[0xFF]), Syntax::Asn1998, &[0xC0, 0x01, 0x80, 0x00, 0x00, 0xFF]),
            (d(DataType::V21, FieldType::HdlcData, &[0xFF]), Syntax::Asn2002, &[0xC0, 0x01, 0x80, 0x00, 0x00, 0xFF]),
            (d(DataType::V21, FieldType::HdlcFcsOk, &[]), Syntax::Asn1998, &[0xC0, 0x01, 0x20]),
            (d(DataType::V21, FieldType::HdlcFcsOk, &[]), Syntax::Asn2002, &[0xC0, 0x01, 0x10]),
            (d(DataType::V17At14400, FieldType::T4NonEcmSigEnd, &[]), Syntax::Asn2002, &[0xD0, 0x01, 0x38]),
        ];
        for (packet, syntax, octets) in table {
            assert_eq!(&bytes_of(packet, *syntax)[..], *octets, "{packet:?}");
            assert_eq!(parse(octets, *syntax).as_ref(), Ok(packet));
        }
    }

    #[test]
    fn malformed_packets_are_refused_with_the_reason() {
        let table: &[(&[u8], Error)] = &[
            (&[], Error::Truncated),
            (&[0x80], Error::DataWithIndicator),
            (&[0x40], Error::NoData),
            (&[0x20], Error::Truncated),
            (&[0x2F, 0xC0], Error::Unknown),
            (&[0x30, 0x00], Error::Unknown),
            (&[0xD2, 0x01, 0x80, 0, 0, 1], Error::Unknown),
            (&[0xC0], Error::Truncated),
            (&[0xC0, 0x01], Error::Truncated),
            (&[0xC0, 0xC1], Error::BadLength),
            (&[0xC0, 0x7F], Error::TooManyFields),
            (&[0xC0, 0x01, 0x80, 0xFF, 0xFF, 1], Error::Truncated),
            (&[0x00, 0x00], Error::TrailingOctets),
        ];
        for (octets, error) in table {
            assert_eq!(parse(octets, Syntax::Asn2002), Err(*error), "{octets:02X?}");
        }
        assert_eq!(parse(&[0; IFP_BYTES_MAX + 1], Syntax::Asn1998), Err(Error::TooLong));
    }

    #[test]
    fn headers_aligned_to_octets_are_read_too() {
        // fcs-OK without data, then sig-end without data: PER packs them, some peers do not.
        let aligned = [0xC0, 0x02, 0x10, 0x08];
        let Ok(Packet::Data(d)) = parse(&aligned, Syntax::Asn2002) else { panic!("not read") };
        assert_eq!(d.fields().map(|f| f.kind).collect::<Vec<_>>(), [FieldType::HdlcFcsOk, FieldType::HdlcSigEnd]);
    }

    fn any_packet(max_kind: usize) -> impl Strategy<Value = Packet> {
        let field = (0..max_kind, proptest::collection::vec(any::<u8>(), 0..60));
        prop_oneof![
            (0..Indicator::ALL.len()).prop_map(|i| Packet::Indicator(Indicator::ALL[i])),
            ((0..DataType::ALL.len()), proptest::collection::vec(field, 0..IFP_FIELDS_MAX)).prop_map(|(m, fields)| {
                let mut d = Data::new(DataType::ALL[m]);
                for (k, b) in fields {
                    d.push(FieldType::ALL[k], &b).expect("within the bounds");
                }
                Packet::Data(d)
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_emitted_is_read_back_1998(p in any_packet(8)) {
            prop_assert_eq!(parse(&bytes_of(&p, Syntax::Asn1998), Syntax::Asn1998), Ok(p));
        }
        #[test]
        fn what_is_emitted_is_read_back_2002(p in any_packet(12)) {
            prop_assert_eq!(parse(&bytes_of(&p, Syntax::Asn2002), Syntax::Asn2002), Ok(p));
        }
        #[test]
        fn no_bytes_panic_and_what_is_read_can_be_written(b in proptest::collection::vec(any::<u8>(), 0..200), v0: bool) {
            let s = if v0 { Syntax::Asn1998 } else { Syntax::Asn2002 };
            if let Ok(p) = parse(&b, s) {
                prop_assert_eq!(parse(&bytes_of(&p, s), s), Ok(p));
            }
        }
    }
}
