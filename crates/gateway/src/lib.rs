//! The way out of a machine: model gateway, egress proxy, metering
