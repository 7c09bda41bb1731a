//! The control plane: routes, auth, preview origins, dashboard assets
