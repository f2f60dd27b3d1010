//! The T.38 attributes of SDP (T.38 Annex D, RFC 3362), in every spelling met in the field.

/// How the training check is made (T.38 clause 8).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RateManagement {
    /// TCF is made and checked at each end.
    LocalTcf,
    /// TCF crosses the network: the rule over UDP.
    #[default]
    TransferredTcf,
}

/// Error protection of UDPTL (T.38 clause 9.1), weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum UdpEc {
    /// None.
    NoEc,
    /// Earlier packets repeated.
    Redundancy,
    /// Parity packets.
    Fec,
}

/// The T.38 attributes of a media line.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct T38 {
    /// T38FaxVersion; 0 if it is not said.
    pub version: u8,
    /// T38MaxBitRate in bit/s.
    pub max_bit_rate: Option<u32>,
    /// T38FaxFillBitRemoval.
    pub fill_bit_removal: bool,
    /// T38FaxTranscodingMMR.
    pub transcoding_mmr: bool,
    /// T38FaxTranscodingJBIG.
    pub transcoding_jbig: bool,
    /// T38FaxRateManagement.
    pub rate_management: RateManagement,
    /// T38FaxMaxBuffer in bytes: what who wrote it can hold.
    pub max_buffer_bytes: Option<u32>,
    /// T38FaxMaxDatagram in bytes: what who wrote it can take.
    pub max_datagram_bytes: Option<u32>,
    /// T38FaxMaxIFP in bytes.
    pub max_ifp_bytes: Option<u32>,
    /// T38FaxUdpEC; not said by some who then send redundancy.
    pub udp_ec: Option<UdpEc>,
    /// T38FaxUdpECDepth: least and, if said, greatest number of repeats.
    pub udp_ec_depth: Option<(u8, Option<u8>)>,
    /// T38FaxUdpFECMaxSpan.
    pub fec_max_span: Option<u8>,
    /// T38VendorInfo, raw.
    pub vendor_info: Option<String>,
    /// T38ModemType, raw.
    pub modem_type: Option<String>,
}

impl T38 {
    /// Takes one attribute. False if it is none of T.38's, or says nothing that can be read: then it is kept raw.
    pub(super) fn take(&mut self, name: &str, value: Option<&str>) -> bool {
        let text = value.unwrap_or_default().trim();
        let number = || text.split_whitespace().next().and_then(|w| w.parse::<u32>().ok());
        let small = || number().and_then(|n| u8::try_from(n).ok());
        // Annex D's flags are bare; the older form has `:0` or `:1`.
        let flag = !matches!(text.to_ascii_lowercase().as_str(), "0" | "no" | "false");
        match name.to_ascii_lowercase().as_str() {
            "t38faxversion" => match small() {
                Some(n) => self.version = n,
                None => return false,
            },
            "t38maxbitrate" | "t38faxmaxbitrate" | "t38faxmaxrate" => return set(&mut self.max_bit_rate, number()),
            "t38faxfillbitremoval" => self.fill_bit_removal = flag,
            "t38faxtranscodingmmr" => self.transcoding_mmr = flag,
            "t38faxtranscodingjbig" => self.transcoding_jbig = flag,
            "t38faxratemanagement" => {
                self.rate_management = match text.to_ascii_lowercase().as_str() {
                    "localtcf" => RateManagement::LocalTcf,
                    "transferredtcf" | "transferedtcf" => RateManagement::TransferredTcf,
                    _ => return false,
                }
            }
            "t38faxmaxbuffer" | "t38faxmaxbuffersize" => return set(&mut self.max_buffer_bytes, number()),
            "t38faxmaxdatagram" | "t38maxdatagram" => return set(&mut self.max_datagram_bytes, number()),
            "t38faxmaxifp" => return set(&mut self.max_ifp_bytes, number()),
            "t38faxudpec" => {
                self.udp_ec = Some(match text.to_ascii_lowercase().as_str() {
                    "t38udpnoec" => UdpEc::NoEc,
                    "t38udpredundancy" => UdpEc::Redundancy,
                    "t38udpfec" => UdpEc::Fec,
                    _ => return false,
                })
            }
            "t38faxudpecdepth" => {
                let mut words = text.split_whitespace().map(str::parse::<u8>);
                match (words.next(), words.next()) {
                    (Some(Ok(least)), None) => self.udp_ec_depth = Some((least, None)),
                    (Some(Ok(least)), Some(Ok(most))) => self.udp_ec_depth = Some((least, Some(most))),
                    _ => return false,
                }
            }
            "t38faxudpfecmaxspan" => return set(&mut self.fec_max_span, small()),
            "t38vendorinfo" => self.vendor_info = Some(text.into()),
            "t38modemtype" => self.modem_type = Some(text.into()),
            _ => return false,
        }
        true
    }

    /// The attributes as we write them, without `a=`.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("T38FaxVersion:{}", self.version)];
        let mut put = |name: &str, value: Option<String>| lines.extend(value.map(|v| format!("{name}:{v}")));
        put("T38MaxBitRate", self.max_bit_rate.map(|n| n.to_string()));
        let rate = match self.rate_management {
            RateManagement::LocalTcf => "localTCF",
            RateManagement::TransferredTcf => "transferredTCF",
        };
        put("T38FaxRateManagement", Some(rate.into()));
        put("T38FaxMaxBuffer", self.max_buffer_bytes.map(|n| n.to_string()));
        put("T38FaxMaxDatagram", self.max_datagram_bytes.map(|n| n.to_string()));
        put("T38FaxMaxIFP", self.max_ifp_bytes.map(|n| n.to_string()));
        let ec = self.udp_ec.map(|ec| match ec {
            UdpEc::NoEc => "t38UDPNoEC",
            UdpEc::Redundancy => "t38UDPRedundancy",
            UdpEc::Fec => "t38UDPFEC",
        });
        put("T38FaxUdpEC", ec.map(Into::into));
        put("T38FaxUdpECDepth", self.udp_ec_depth.map(|(a, b)| b.map_or(a.to_string(), |b| format!("{a} {b}"))));
        put("T38FaxUdpFECMaxSpan", self.fec_max_span.map(|n| n.to_string()));
        put("T38VendorInfo", self.vendor_info.clone());
        put("T38ModemType", self.modem_type.clone());
        for (flag, name) in [
            (self.fill_bit_removal, "T38FaxFillBitRemoval"),
            (self.transcoding_mmr, "T38FaxTranscodingMMR"),
            (self.transcoding_jbig, "T38FaxTranscodingJBIG"),
        ] {
            lines.extend(flag.then(|| name.into()));
        }
        lines
    }

    /// The attributes as an fmtp (RFC 4612 s.3.2): the same names, `=` in place of `:`, parted by `;`.
    pub fn fmtp(&self) -> String {
        // What is of UDPTL alone means nothing in RTP.
        let own = T38 { udp_ec: None, udp_ec_depth: None, fec_max_span: None, max_datagram_bytes: None, ..self.clone() };
        let parameter = |line: String| match line.split_once(':') {
            Some((name, value)) => format!("{name}={value}"),
            None => format!("{line}=1"),
        };
        own.lines().into_iter().map(parameter).collect::<Vec<_>>().join(";")
    }

    /// Reads an fmtp. What is unknown in it is passed over.
    pub fn of_fmtp(fmtp: &str) -> T38 {
        let mut t38 = T38::default();
        for parameter in fmtp.split(';').map(str::trim).filter(|p| !p.is_empty()).take(crate::limits::SDP_FORMATS_MAX) {
            let (name, value) = parameter.split_once('=').map_or((parameter, None), |(n, v)| (n.trim(), Some(v.trim())));
            let _known = t38.take(name, value);
        }
        t38
    }

    /// Our answer to this offer, from what we can (T.38 table D.1): version, rate, flags and protection are agreed on and never exceed
    /// the offer; buffer, datagram and IFP sizes are declared, each side its own. `None` if the rate management cannot be met.
    pub fn answer(&self, ours: &T38) -> Option<T38> {
        if self.rate_management == RateManagement::LocalTcf && ours.rate_management != RateManagement::LocalTcf {
            return None;
        }
        let both = |a: Option<u32>, b: Option<u32>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Some(T38 {
            version: self.version.min(ours.version),
            max_bit_rate: both(self.max_bit_rate, ours.max_bit_rate),
            fill_bit_removal: self.fill_bit_removal && ours.fill_bit_removal,
            transcoding_mmr: self.transcoding_mmr && ours.transcoding_mmr,
            transcoding_jbig: self.transcoding_jbig && ours.transcoding_jbig,
            rate_management: self.rate_management,
            // Who does not say takes redundancy: every stack does.
            udp_ec: ours.udp_ec.map(|ec| ec.min(self.udp_ec.unwrap_or(UdpEc::Redundancy))),
            ..ours.clone()
        })
    }
}

fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    let read = value.is_some();
    if read {
        *place = value;
    }
    read
}
