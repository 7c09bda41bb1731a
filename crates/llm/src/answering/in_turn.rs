//! Blocks one after the other. Some providers tell several calls at once, and end all of them at the
//! end; in Anthropic's and OpenAI's Responses format each block ends before the next one begins, and
//! programs may count on it. What is said of a later block waits until the one before it has ended.

use super::Encode;
use crate::ask::ModelEvent;
use std::collections::VecDeque;
use toft_model::event::Delta;

/// See the module.
pub(super) struct InTurn<E> {
    encoder: E,
    /// The block that is being told.
    current: Option<usize>,
    waiting: VecDeque<ModelEvent>,
}

impl<E: Encode> InTurn<E> {
    pub(super) fn new(encoder: E) -> Self {
        Self { encoder, current: None, waiting: VecDeque::new() }
    }

    fn has_to_wait(&self, block: Option<usize>) -> bool {
        block.is_some() && self.current.is_some() && block != self.current
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
        if self.has_to_wait(place(event).map(|(block, _)| block)) {
            self.waiting.push_back(event.clone());
            return;
        }
        self.tell(event, out);
        // The oldest that need not wait any more, again and again.
        while self.current.is_none()
            && let Some(next) = self.waiting.pop_front()
        {
            self.tell(&next, out);
            let mut rest = VecDeque::new();
            for event in std::mem::take(&mut self.waiting) {
                if self.has_to_wait(place(&event).map(|(block, _)| block)) || self.current.is_none()
                {
                    rest.push_back(event);
                } else {
                    self.tell(&event, out);
                }
            }
            self.waiting = rest;
        }
    }
}
