//! Capabilities inside a machine: those of a usual container without raw sockets and device
//! nodes. They only reach what belongs to the machine's own user namespace. One more, [`OWN`], tells
//! init and bridge from all others.

use crate::failure::{Failure, step};
use rustix::{
    io::Errno,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
        set_capabilities,
    },
};
use std::io;

/// What the machine's root keeps.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::AUDIT_WRITE)
    .union(CapabilitySet::SETFCAP)
    .union(OWN);

/// The number of the capability that init and bridge have and nothing else in a machine. The kernel lets
/// nobody trace a process with a capability more than his own (`cap_ptrace_access_check`), nor take its
/// descriptors or memory; so they are closed to others at every moment, also between their `exec`
/// and their first own step. It lets timers wake a host that sleeps: not that of a user namespace.
pub(crate) const OWN_NUMBER: u32 = 35;
const OWN: CapabilitySet = CapabilitySet::WAKE_ALARM;

/// What init needs to start a program in another mount namespace (setns(2)). It is handed on to init by
/// `exec` and to nobody else: the bounding set lacks it, and init hands on nothing ([`hand_on_nothing`]).
/// The system call filter leaves little of it besides.
const ENTERS: CapabilitySet = CapabilitySet::SYS_ADMIN;

/// What root keeps in a program that only reads: to read and, in memory of its own, write files of
/// everybody, and to listen. A part of what other programs have, so that it may not look into them
/// (`cap_ptrace_access_check`): `/proc/PID/root` of one of them leads to files that can be changed. And
/// no means to become a user whose programs it might look into.
const READING: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// Drops all others for good. `enters`: the next program gets what it takes to put its children into
/// other mounts.
pub(crate) fn drop_capabilities(enters: bool) -> Result<(), Failure> {
    let dropping = || step("drop capabilities");
    let handed_on = if enters { ENTERS } else { CapabilitySet::empty() };
    // Only what the bounding set has can become inheritable, and it stays so.
    let now = capabilities(None).map_err(dropping())?;
    set_capabilities(None, CapabilitySets { inheritable: handed_on, ..now }).map_err(dropping())?;
    for bit in 0..NUMBERS {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        if KEPT.contains(one) {
            continue;
        }
        match remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // The kernel knows no capability of this number, and so none above it.
            Err(Errno::INVAL) => break,
            Err(e) => return Err(dropping()(e)),
        }
    }
    let kept = KEPT | handed_on;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: handed_on };
    set_capabilities(None, sets).map_err(dropping())
}

/// What this thread starts gets nothing handed on by `exec`: some container engines leave all that they
/// grant inheritable, and root would have [`OWN`] by that, whatever its bounding set says. Without what is
/// inheritable the kernel empties the ambient set too.
pub fn hand_on_nothing() -> io::Result<()> {
    let sets = CapabilitySets { inheritable: CapabilitySet::empty(), ..capabilities(None)? };
    Ok(set_capabilities(None, sets)?)
}

/// Whether a program that only reads keeps the capability of this number.
pub(crate) const fn reads_with(number: u32) -> bool {
    READING.bits() & (1 << number) != 0
}

/// One above the highest number that a set of capabilities has room for.
pub(crate) const NUMBERS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::thread::{capability_is_in_ambient_set, configure_capability_in_ambient_set};

    #[test]
    fn nothing_is_handed_on() {
        // Capabilities are those of a thread.
        let thread = std::thread::spawn(|| {
            let had = capabilities(None).unwrap();
            let one = CapabilitySet::CHOWN & had.permitted;
            set_capabilities(None, CapabilitySets { inheritable: one, ..had }).unwrap();
            if !one.is_empty() {
                configure_capability_in_ambient_set(one, true).unwrap();
            }
            hand_on_nothing().unwrap();
            let has = capabilities(None).unwrap();
            assert_eq!((has.permitted, has.effective), (had.permitted, had.effective));
            assert!(has.inheritable.is_empty(), "{:?}", has.inheritable);
            assert!(!capability_is_in_ambient_set(CapabilitySet::CHOWN).unwrap());
        });
        thread.join().unwrap();
    }

    #[test]
    fn a_program_that_reads_has_less_than_every_other_one() {
        let others = KEPT - OWN;
        assert!(others.contains(READING) && others != READING);
        assert!(!READING.intersects(CapabilitySet::SETUID | CapabilitySet::SYS_CHROOT | ENTERS));
    }

    #[test]
    fn the_number_is_that_of_the_capability() {
        assert_eq!(OWN.bits(), 1 << OWN_NUMBER);
    }
}
