//! What the shell remembers between two starts: size and place of the window, zoom, and the port of
//! the server it started last. Nothing of the dashboard's.

use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path};

/// Below this the dashboard's narrowest layout has no room.
pub(crate) const SIZE_MIN: (f64, f64) = (420.0, 480.0);
/// What a first start gets: two panels and the sidebar side by side.
const SIZE_DEFAULT: (f64, f64) = (1280.0, 820.0);
/// Steps of the zoom, as in browsers.
const ZOOMS: &[f64] = &[0.5, 0.67, 0.75, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0];
/// So much of a window (logical pixels) must lie on a screen for a person to get hold of it.
const GRIP: f64 = 64.0;

/// Logical pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Memory {
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// Left and top; unknown where the desktop keeps that to itself.
    pub(crate) at: Option<(f64, f64)>,
    pub(crate) maximized: bool,
    pub(crate) zoom: f64,
    /// Where the server listened that the shell started last.
    pub(crate) port: Option<u16>,
}

impl Default for Memory {
    fn default() -> Self {
        let (width, height) = SIZE_DEFAULT;
        Self { width, height, at: None, maximized: false, zoom: 1.0, port: None }
    }
}

/// A screen, in logical pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Memory {
    /// What was remembered, made sane; the defaults when there is nothing or it is damaged.
    pub(crate) fn load(path: &Path) -> Self {
        fs::read(path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok())
            .unwrap_or_default()
            .sane()
    }

    fn sane(mut self) -> Self {
        let fresh = Self::default();
        if !(self.width.is_finite() && self.height.is_finite()) {
            (self.width, self.height) = (fresh.width, fresh.height);
        }
        self.width = self.width.max(SIZE_MIN.0);
        self.height = self.height.max(SIZE_MIN.1);
        if !ZOOMS.contains(&self.zoom) {
            self.zoom = fresh.zoom;
        }
        self
    }

    /// Written beside, then renamed: a crash leaves the old one.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let beside = path.with_extension("new");
        fs::write(&beside, serde_json::to_vec(self)?)?;
        fs::rename(&beside, path)
    }

    /// The remembered place, if a person could still get hold of a window there.
    pub(crate) fn place_on(&self, screens: &[Screen]) -> Option<(f64, f64)> {
        let (x, y) = self.at?;
        let within = |screen: &Screen| {
            x + self.width >= screen.x + GRIP
                && x <= screen.x + screen.width - GRIP
                && y >= screen.y
                && y <= screen.y + screen.height - GRIP
        };
        screens.iter().any(within).then_some((x, y))
    }

    /// The next larger zoom, or the next smaller.
    pub(crate) fn zoomed(&self, larger: bool) -> f64 {
        let next = if larger {
            ZOOMS.iter().find(|z| **z > self.zoom)
        } else {
            ZOOMS.iter().rev().find(|z| **z < self.zoom)
        };
        next.copied().unwrap_or(self.zoom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCREEN: Screen = Screen { x: 0.0, y: 0.0, width: 1920.0, height: 1080.0 };

    #[test]
    fn what_is_saved_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("window.json");
        let memory =
            Memory { at: Some((10.0, 20.0)), zoom: 1.25, port: Some(4711), ..Memory::default() };
        memory.save(&path).unwrap();
        assert_eq!(Memory::load(&path), memory);
    }

    #[test]
    fn damage_and_nonsense_become_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("window.json");
        assert_eq!(Memory::load(&path), Memory::default());
        fs::write(&path, "{").unwrap();
        assert_eq!(Memory::load(&path), Memory::default());
        fs::write(&path, r#"{"width":3,"height":-9,"zoom":77}"#).unwrap();
        let memory = Memory::load(&path);
        assert_eq!((memory.width, memory.height, memory.zoom), (420.0, 480.0, 1.0));
    }

    #[test]
    fn a_place_on_a_screen_that_is_gone_is_forgotten() {
        let at = |x, y| Memory { at: Some((x, y)), ..Memory::default() };
        assert_eq!(at(100.0, 50.0).place_on(&[SCREEN]), Some((100.0, 50.0)));
        assert_eq!(at(2500.0, 50.0).place_on(&[SCREEN]), None);
        assert_eq!(at(-1279.0, 50.0).place_on(&[SCREEN]), None, "one pixel is no grip");
        assert_eq!(at(100.0, -40.0).place_on(&[SCREEN]), None, "its title bar is out of reach");
        assert_eq!(Memory::default().place_on(&[SCREEN]), None);
    }

    #[test]
    fn zoom_goes_in_steps_and_ends() {
        let mut memory = Memory::default();
        memory.zoom = memory.zoomed(true);
        assert!((memory.zoom - 1.1).abs() < f64::EPSILON);
        for _ in 0..40 {
            memory.zoom = memory.zoomed(true);
        }
        assert!((memory.zoom - 3.0).abs() < f64::EPSILON);
        for _ in 0..40 {
            memory.zoom = memory.zoomed(false);
        }
        assert!((memory.zoom - 0.5).abs() < f64::EPSILON);
    }
}
