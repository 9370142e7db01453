use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Linux gives whoever asks for any port one from 32768 on (`net.ipv4.ip_local_port_range`, unless somebody set it): those below are not
/// taken by chance between our choosing one and a server's opening it, nor while a server that was killed is down. Another process that
/// tests at the same time may choose the same, but begins elsewhere.
const FIRST: u32 = 15_000;
const COUNT: u32 = 17_000;

/// A port on loopback that nobody listens on, and that this process gives to nobody else.
pub(crate) fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(7919);
    for _ in 0..COUNT {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + begin.wrapping_add(given) % COUNT;
        let port = u16::try_from(port).expect("it is below 32768");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice_or_taken() {
        let taken = free_port() + 1;
        let _listener = TcpListener::bind(("127.0.0.1", taken));
        let given: BTreeSet<u16> = (0..500).map(|_| free_port()).collect();
        assert_eq!(given.len(), 500);
        assert!(!given.contains(&taken));
        assert!(
            given
                .into_iter()
                .all(|port| (15_000..32_000).contains(&port))
        );
    }
}
