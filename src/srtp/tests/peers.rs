//! Octet for octet the same as two implementations that know nothing of ours, over several roll-overs, and each opens what the others made.

use super::hostile::bare;
use super::*;
use libsrtp::{ProtectionProfile, RecvSession, SendSession, StreamConfig};

fn their_profile(profile: Profile) -> ProtectionProfile {
    match profile {
        Profile::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha180,
        Profile::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha132,
        Profile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Profile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
    }
}

fn config(profile: Profile) -> StreamConfig {
    let key = key(profile, 1);
    let profile_of_rtcp = match profile {
        Profile::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha180,
        other => their_profile(other),
    };
    StreamConfig::new(vec![libsrtp::MasterKey::new(key.key(), key.salt(), &None)], &their_profile(profile), &profile_of_rtcp)
}

#[test]
fn three_implementations_make_the_same_octets_over_roll_overs() {
    for profile in Profile::ALL {
        let (mut a, mut b) = pair(profile);
        let (mut webrtc_sends, mut webrtc_hears) = (bare(profile), bare(profile));
        let (mut lib_sends, mut lib_hears) = (SendSession::new(), RecvSession::new());
        lib_sends.add_stream(Some(SSRC), &config(profile)).unwrap();
        lib_hears.add_stream(Some(SSRC), &config(profile)).unwrap();
        // libsrtp calls the first report 0, webrtc-srtp (and libsrtp in C) calls it 1.
        lib_sends.rtcp_protect(report(SSRC, 0)).unwrap();
        // Every 13th sequence number, but each one around a roll-over.
        let mut index = 60_000u64;
        let mut packets = 0;
        while index < (4 << 16) + 200 {
            let packet = rtp(SSRC, index as u16, 8 + (index % 40) as usize);
            let sealed = protect(&mut a, &packet);
            assert_eq!(webrtc_sends.encrypt_rtp(&packet).unwrap(), sealed, "{profile:?} {index}");
            assert_eq!(lib_sends.rtp_protect(packet.clone()).unwrap(), sealed, "{profile:?} {index}");
            assert_eq!(unprotect(&mut b, &sealed), Ok(packet.clone()));
            assert_eq!(webrtc_hears.decrypt_rtp(&sealed).unwrap(), packet);
            assert_eq!(lib_hears.rtp_unprotect(sealed).unwrap(), packet);
            if packets % 50 == 0 {
                let about = report(SSRC, (index % 20) as usize);
                let sealed = protect(&mut a, &about);
                assert_eq!(webrtc_sends.encrypt_rtcp(&about).unwrap(), sealed, "{profile:?} {index}");
                assert_eq!(lib_sends.rtcp_protect(about.clone()).unwrap(), sealed, "{profile:?} {index}");
                assert_eq!(unprotect(&mut b, &sealed), Ok(about.clone()));
                assert_eq!(webrtc_hears.decrypt_rtcp(&sealed).unwrap(), about);
                assert_eq!(lib_hears.rtcp_unprotect(sealed).unwrap(), about);
            }
            packets += 1;
            index += if index & 0xFFFF > 65_500 || index & 0xFFFF < 40 { 1 } else { 13 };
        }
        assert!(packets > 15_000);
    }
}
