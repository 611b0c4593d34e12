//! What the person chose to see, and how keys change it. Pure.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// A table that can be moved through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Panel {
    /// Nodes.
    #[default]
    Nodes,
    /// Registrations.
    Jobs,
}

/// How far a table was moved, and how far it can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scroll {
    /// The first row that is shown.
    pub(super) first: usize,
    /// Rows that were shown last.
    pub(super) page: usize,
    /// All rows.
    pub(super) rows: usize,
}

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) panel: Panel,
    pub(super) nodes: Scroll,
    pub(super) jobs: Scroll,
    pub(super) is_paused: bool,
    pub(super) is_closed: bool,
}

impl Scroll {
    /// Where there are so many rows, and so many fit.
    pub(super) fn fit(&mut self, rows: usize, page: usize) {
        (self.rows, self.page) = (rows, page);
        self.first = self.first.min(rows.saturating_sub(page));
    }

    fn by(&mut self, rows: isize) {
        self.first = self.first.saturating_add_signed(rows);
        self.fit(self.rows, self.page);
    }
}

impl Shown {
    /// Follows an event; most are not for us.
    pub(super) fn take(&mut self, event: &Event) {
        if let Event::Key(key @ KeyEvent { kind: KeyEventKind::Press | KeyEventKind::Repeat, .. }) = event {
            self.press(*key);
        }
    }

    fn press(&mut self, key: KeyEvent) {
        let page = isize::try_from(self.scroll().page).unwrap_or(isize::MAX).max(1);
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => self.is_closed = true,
            KeyCode::Char('q') | KeyCode::Esc => self.is_closed = true,
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Tab | KeyCode::BackTab => self.panel = self.panel.other(),
            KeyCode::Up | KeyCode::Char('k') => self.scroll().by(-1),
            KeyCode::Down | KeyCode::Char('j') => self.scroll().by(1),
            KeyCode::PageUp => self.scroll().by(-page),
            KeyCode::PageDown => self.scroll().by(page),
            KeyCode::Home => self.scroll().by(isize::MIN),
            KeyCode::End => self.scroll().by(isize::MAX),
            _ => (),
        }
    }

    fn scroll(&mut self) -> &mut Scroll {
        match self.panel {
            Panel::Nodes => &mut self.nodes,
            Panel::Jobs => &mut self.jobs,
        }
    }
}

impl Panel {
    fn other(self) -> Self {
        match self {
            Self::Nodes => Self::Jobs,
            Self::Jobs => Self::Nodes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(mut shown: Shown, codes: &[KeyCode]) -> Shown {
        for code in codes {
            shown.take(&Event::Key(KeyEvent::new(*code, KeyModifiers::NONE)));
        }
        shown
    }

    #[test]
    fn moving_ends_at_both_ends_of_the_table() {
        let mut shown = Shown::default();
        shown.nodes.fit(40, 10);
        let first = |codes: &[KeyCode]| pressed(shown, codes).nodes.first;
        assert_eq!(first(&[KeyCode::Up, KeyCode::Down, KeyCode::Down]), 2);
        assert_eq!(first(&[KeyCode::PageDown, KeyCode::PageDown, KeyCode::PageUp]), 10);
        assert_eq!(first(&[KeyCode::End]), 30);
        assert_eq!(first(&[KeyCode::End, KeyCode::PageDown]), 30);
        assert_eq!(first(&[KeyCode::End, KeyCode::Home]), 0);
        let mut fewer = pressed(shown, &[KeyCode::End]);
        fewer.nodes.fit(12, 10);
        assert_eq!(fewer.nodes.first, 2, "rows went away");
    }

    #[test]
    fn keys_choose_the_table_pause_and_close() {
        let shown = Shown::default();
        assert_eq!(pressed(shown, &[KeyCode::Tab]).panel, Panel::Jobs);
        assert!(pressed(shown, &[KeyCode::Char('p')]).is_paused);
        assert!(!pressed(shown, &[KeyCode::Char(' '), KeyCode::Char('p')]).is_paused);
        assert!(pressed(shown, &[KeyCode::Char('q')]).is_closed && pressed(shown, &[KeyCode::Esc]).is_closed);
        let mut interrupted = shown;
        interrupted.take(&Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
        assert!(interrupted.is_closed);
        assert_eq!(pressed(shown, &[KeyCode::Char('c'), KeyCode::Char('x')]), shown);
    }
}
