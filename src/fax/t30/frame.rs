//! The HDLC frames of T.30: their names, what DIS, DTC and DCS say, the idents. Read T.30 clause 5.3.6 and table 2.
//!
//! Octets are as T.38 carries them: the first bit on the line is the most significant, so an FCF reads as T.30 prints it, bit 1 of a FIF is
//! the most significant bit of its first octet, and an ident's characters stand reversed, bit by bit and from the last to the first.

use core::fmt;

/// Characters of CSI, TSI and CIG.
pub const IDENT_CHARS: usize = 20;
/// An ident: digits, plus, space; trimmed.
pub type Ident = heapless::String<IDENT_CHARS>;

macro_rules! facsimile_control_fields {
    ($($name:ident = $code:expr;)*) => {
        /// Facsimile control fields, by T.30's names. The X bit (who received DIS) is not part of the name.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[allow(missing_docs)] // the names are the Recommendation's
        pub enum Fcf { $($name,)* }
        impl Fcf {
            /// The name in the Recommendation.
            pub const fn name(self) -> &'static str {
                match self { $(Fcf::$name => stringify!($name),)* }
            }
            /// The code with the X bit clear.
            pub const fn code(self) -> u8 {
                match self { $(Fcf::$name => $code,)* }
            }
            /// All of them.
            pub const ALL: &'static [Fcf] = &[$(Fcf::$name,)*];
        }
    };
}

facsimile_control_fields! {
    Dis = 0x01; Csi = 0x02; Nsf = 0x04;
    Dtc = 0x81; Cig = 0x82; Nsc = 0x84; Pwd = 0x83; Sep = 0x85; Psa = 0x86; Cia = 0x87; Isp = 0x88;
    Dcs = 0x41; Tsi = 0x42; Nss = 0x44; Sub = 0x43; Sid = 0x45; Tsa = 0x46; Ira = 0x47; Ctc = 0x48;
    Cfr = 0x21; Ftt = 0x22; Ctr = 0x23; Csa = 0x24;
    Eom = 0x71; Mps = 0x72; Eop = 0x74; PriEom = 0x79; PriMps = 0x7A; PriEop = 0x7C; Eos = 0x78; Pps = 0x7D; Eor = 0x73; Rr = 0x76;
    Mcf = 0x31; Rtp = 0x33; Rtn = 0x32; Pip = 0x35; Pin = 0x34; Pid = 0x36; Ppr = 0x3D; Rnr = 0x37; Err = 0x38; Fdm = 0x3F;
    Dcn = 0x5F; Crp = 0x58; Fnv = 0x53; Tnr = 0x57; Tr = 0x56; Dnk = 0x59;
    Fcd = 0x60; Rcp = 0x61;
}

impl Fcf {
    /// The field of this octet, if T.30 knows it. DIS, DTC and their companions have no X bit: their first bit is part of the code.
    pub fn of(octet: u8) -> Option<Fcf> {
        let x_clear = octet & 0x7F;
        let group_has_x = x_clear & 0x70 != 0 && !matches!(x_clear, 0x60 | 0x61);
        let code = if group_has_x { x_clear } else { octet };
        Fcf::ALL.iter().copied().find(|f| f.code() == code)
    }
}

impl fmt::Display for Fcf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.name().chars() {
            write!(f, "{}", c.to_ascii_uppercase())?;
        }
        Ok(())
    }
}

/// A frame between flags, without its FCS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct T30Frame<'a> {
    /// What it is.
    pub fcf: Fcf,
    /// The facsimile information field.
    pub fif: &'a [u8],
    /// The control field's P/F bit: no more frames follow.
    pub last: bool,
}

/// Reads a frame: address FF, control C0 or C8, FCF, FIF. `None` for anything else.
pub fn parse(octets: &[u8]) -> Option<T30Frame<'_>> {
    let (&[0xFF, control @ (0xC0 | 0xC8), fcf], fif) = octets.split_first_chunk::<3>()? else { return None };
    Some(T30Frame { fcf: Fcf::of(fcf)?, fif, last: control == 0xC8 })
}

/// Bit `n` (from 1) of a FIF, false beyond its end.
pub fn bit(fif: &[u8], n: usize) -> bool {
    n >= 1 && fif.get((n - 1) / 8).is_some_and(|o| o & (0x80 >> ((n - 1) % 8)) != 0)
}

/// An image modem and its rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the names say it
pub enum Rate {
    V27At2400,
    V27At4800,
    V29At7200,
    V29At9600,
    V17At7200,
    V17At9600,
    V17At12000,
    V17At14400,
}

impl Rate {
    /// Bits a second.
    pub const fn bps(self) -> u32 {
        match self {
            Rate::V27At2400 => 2400,
            Rate::V27At4800 => 4800,
            Rate::V29At7200 | Rate::V17At7200 => 7200,
            Rate::V29At9600 | Rate::V17At9600 => 9600,
            Rate::V17At12000 => 12000,
            Rate::V17At14400 => 14400,
        }
    }
    /// The modem's Recommendation.
    pub const fn modem(self) -> &'static str {
        match self {
            Rate::V27At2400 | Rate::V27At4800 => "V.27ter",
            Rate::V29At7200 | Rate::V29At9600 => "V.29",
            Rate::V17At7200 | Rate::V17At9600 | Rate::V17At12000 | Rate::V17At14400 => "V.17",
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.modem(), self.bps())
    }
}

/// Coding of the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the names say it
pub enum Coding {
    T4OneD,
    T4TwoD,
    T6,
    Jbig,
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Coding::T4OneD => "T.4 1-D (MH)",
            Coding::T4TwoD => "T.4 2-D (MR)",
            Coding::T6 => "T.6 (MMR)",
            Coding::Jbig => "T.85 (JBIG)",
        })
    }
}

/// What a DCS commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dcs {
    /// Modem and rate; `None` for a code T.30 reserves.
    pub rate: Option<Rate>,
    /// Error correction.
    pub ecm: bool,
    /// ECM frames of 64 octets, not 256.
    pub short_frames: bool,
    /// Coding.
    pub coding: Coding,
    /// Rows a centimetre: 39 (standard), 77 (fine), 118 (300 dpi), 154 (superfine).
    pub rows_per_cm: u16,
    /// Pixels in a row.
    pub width: u16,
    /// Least time a row may take, in ms.
    pub row_ms: u8,
}

/// Reads the FIF of a DCS (T.30 table 2).
pub fn dcs(fif: &[u8]) -> Dcs {
    let b = |n| bit(fif, n);
    let rate = match (b(11), b(12), b(13), b(14)) {
        (false, false, false, false) => Some(Rate::V27At2400),
        (false, true, false, false) => Some(Rate::V27At4800),
        (true, false, false, false) => Some(Rate::V29At9600),
        (true, true, false, false) => Some(Rate::V29At7200),
        (false, false, false, true) => Some(Rate::V17At14400),
        (false, true, false, true) => Some(Rate::V17At12000),
        (true, false, false, true) => Some(Rate::V17At9600),
        (true, true, false, true) => Some(Rate::V17At7200),
        _ => None,
    };
    let ecm = b(27);
    let coding = match () {
        () if b(78) || b(79) => Coding::Jbig,
        () if b(31) => Coding::T6,
        () if b(16) => Coding::T4TwoD,
        () => Coding::T4OneD,
    };
    let rows_per_cm = match () {
        () if b(43) || b(41) => 154,
        () if b(42) => 118,
        () if b(15) => 77,
        () => 39,
    };
    let fine_across = b(43);
    let width = match (b(17), b(18), fine_across) {
        (false, false, false) if rows_per_cm == 118 => 2592,
        (false, true, false) if rows_per_cm == 118 => 3648,
        (true, _, false) if rows_per_cm == 118 => 3072,
        (false, false, false) => 1728,
        (false, true, false) => 2432,
        (true, _, false) => 2048,
        (false, false, true) => 3456,
        (false, true, true) => 4864,
        (true, _, true) => 4096,
    };
    let row_ms = match (b(21), b(22), b(23)) {
        (false, false, false) | (true, true, false) => 20,
        (true, false, false) => 5,
        (false, true, false) | (false, true, true) => 10,
        (false, false, true) | (true, false, true) => 40,
        (true, true, true) => 0,
    };
    Dcs { rate, ecm, short_frames: b(28), coding, rows_per_cm, width, row_ms }
}

/// What a DIS or DTC offers, as far as a call record wants it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dis {
    /// Can receive (DIS bit 10).
    pub receives: bool,
    /// Has a document to be polled (bit 9).
    pub sends: bool,
    /// The fastest rate, in bit/s.
    pub max_bps: u32,
    /// Error correction.
    pub ecm: bool,
    /// T.4 two-dimensional.
    pub t4_2d: bool,
    /// T.6.
    pub t6: bool,
    /// 7.7 rows a millimetre.
    pub fine: bool,
    /// V.8, that is V.34 (bit 6).
    pub v8: bool,
}

/// Reads the FIF of a DIS or DTC (T.30 table 2).
pub fn dis(fif: &[u8]) -> Dis {
    let b = |n| bit(fif, n);
    let max_bps = match (b(11), b(12), b(13), b(14)) {
        (true, true, false, true) => 14400,
        (true, _, _, _) => 9600,
        (false, true, _, _) => 4800,
        (false, false, _, _) => 2400,
    };
    Dis { receives: b(10), sends: b(9), max_bps, ecm: b(27), t4_2d: b(16), t6: b(31), fine: b(15), v8: b(6) }
}

/// Reads the FIF of a CSI, TSI or CIG. Characters that no ident may hold become `?`: it is other people's text.
pub fn ident(fif: &[u8]) -> Ident {
    let mut s = Ident::new();
    for octet in fif.iter().rev().take(IDENT_CHARS) {
        let c = octet.reverse_bits();
        let c = if c.is_ascii_graphic() || c == b' ' { char::from(c) } else { '?' };
        // At most as many as there is room for.
        let _ = s.push(c);
    }
    let trimmed = s.trim();
    Ident::try_from(trimmed).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_code_with_and_without_x() {
        for f in Fcf::ALL {
            assert_eq!(Fcf::of(f.code()), Some(*f), "{f}");
        }
        assert_eq!(Fcf::of(0xC1), Some(Fcf::Dcs));
        assert_eq!(Fcf::of(0x81), Some(Fcf::Dtc));
        assert_eq!(Fcf::of(0xFD), Some(Fcf::Pps));
        assert_eq!(Fcf::of(0xDF).map(|f| f.to_string()), Some("DCN".into()));
        assert_eq!(Fcf::of(0x00), None);
    }

    #[test]
    fn a_dcs_is_put_in_words() {
        // Bit 14: V.17 14400; 15: fine; 24: more follows; 27: ECM; 31: T.6.
        let mut fif = [0u8; 4];
        for n in [14, 15, 24, 27, 31] {
            fif[(n - 1) / 8] |= 0x80 >> ((n - 1) % 8);
        }
        let d = dcs(&fif);
        assert_eq!((d.rate, d.ecm, d.coding, d.rows_per_cm, d.width, d.row_ms), (Some(Rate::V17At14400), true, Coding::T6, 77, 1728, 20));
        assert_eq!(dcs(&[]).rate, Some(Rate::V27At2400));
        assert_eq!(Rate::V17At14400.to_string(), "V.17 14400");
    }

    #[test]
    fn an_ident_is_read_backwards() {
        let fif: Vec<u8> = format!("{:>20}", "+44 20 7946").bytes().rev().map(u8::reverse_bits).collect();
        assert_eq!(ident(&fif).as_str(), "+44 20 7946");
        assert_eq!(ident(&[0x00]).as_str(), "?");
    }

    #[test]
    fn frames_that_are_not_t30_are_not_read() {
        for octets in [&[][..], &[0xFF], &[0xFF, 0xC8], &[0xFE, 0xC8, 0x31], &[0xFF, 0xC1, 0x31], &[0xFF, 0xC8, 0x00]] {
            assert_eq!(parse(octets), None, "{octets:02X?}");
        }
        assert_eq!(parse(&[0xFF, 0xC8, 0xB1]).map(|f| (f.fcf, f.last)), Some((Fcf::Mcf, true)));
    }
}
