//! Blocks one after the other. Some providers tell several calls at once, and end all of them at the
//! end; in Anthropic's and OpenAI's Responses format each block ends before the next one begins, and
//! programs may count on it. What is said of a later block waits until the one before it has ended.

use super::Encode;
use crate::ask::ModelEvent;
use std::collections::BTreeMap;
use toft_model::event::Delta;

/// See the module.
pub(super) struct InTurn<E> {
    encoder: E,
    /// The block that is being told.
    current: Option<usize>,
    /// What is said of later blocks, by their numbers: they begin in this order.
    waiting: BTreeMap<usize, Vec<ModelEvent>>,
}

impl<E: Encode> InTurn<E> {
    pub(super) fn new(encoder: E) -> Self {
        Self { encoder, current: None, waiting: BTreeMap::new() }
    }

    fn tell(&mut self, event: &ModelEvent, out: &mut String) {
        match place(event) {
            Some((_, true)) => self.current = None,
            Some((block, false)) => self.current = Some(block),
            None => {}
        }
        self.encoder.event(event, out);
    }
}

/// Which block an event is of, and whether it ends it.
fn place(event: &ModelEvent) -> Option<(usize, bool)> {
    match event {
        ModelEvent::Delta(
            Delta::TextStart { content_index }
            | Delta::TextDelta { content_index, .. }
            | Delta::ThinkingStart { content_index }
            | Delta::ThinkingDelta { content_index, .. }
            | Delta::ToolcallStart { content_index, .. }
            | Delta::ToolcallDelta { content_index, .. },
        )
        | ModelEvent::Sealed { content_index, .. } => Some((*content_index, false)),
        ModelEvent::Delta(
            Delta::TextEnd { content_index }
            | Delta::ThinkingEnd { content_index }
            | Delta::ToolcallEnd { content_index, .. },
        ) => Some((*content_index, true)),
        ModelEvent::Done { .. } => None,
    }
}

impl<E: Encode> Encode for InTurn<E> {
    fn event(&mut self, event: &ModelEvent, out: &mut String) {
        if let (Some((block, _)), Some(current)) = (place(event), self.current)
            && block != current
        {
            self.waiting.entry(block).or_default().push(event.clone());
            return;
        }
        self.tell(event, out);
        while self.current.is_none()
            && let Some((_, events)) = self.waiting.pop_first()
        {
            for event in &events {
                self.tell(event, out);
            }
        }
    }
}
