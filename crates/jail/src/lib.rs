//! Confine this process, then exec: namespaces, mounts, ids, cgroups, seccomp
