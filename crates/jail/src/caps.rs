//! Capabilities inside a machine: those of a usual container without raw sockets and device
//! nodes. They only reach what belongs to the machine's own user namespace.

use crate::failure::{Failure, step};
use rustix::{
    io::Errno,
    thread::{
        CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities,
    },
};

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
    .union(CapabilitySet::SETFCAP);

/// Drops all others for good.
pub(crate) fn drop_capabilities() -> Result<(), Failure> {
    for bit in 0..64u32 {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        if KEPT.contains(one) {
            continue;
        }
        match remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // The kernel knows no capability of this number, and so none above it.
            Err(Errno::INVAL) => break,
            Err(e) => return Err(step("drop capabilities")(e)),
        }
    }
    let sets =
        CapabilitySets { effective: KEPT, permitted: KEPT, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(step("drop capabilities"))
}
