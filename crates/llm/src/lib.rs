//! Speak to model providers: wire adapters, catalogue, the scripted model
