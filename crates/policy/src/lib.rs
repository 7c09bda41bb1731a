//! Decide allow or deny, with the reason. Pure
