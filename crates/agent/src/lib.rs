//! The loop, the session tree, queues
