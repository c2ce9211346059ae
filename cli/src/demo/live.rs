//! The demo on a terminal: drawn five times a second, with keys to play.

use std::{
    io::{Stdout, stdout},
    thread,
    time::Duration,
};

use anyhow::Result;
use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::{
        event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};
use scenarios::demo::{Mesh, Play};
use tokio::{sync::mpsc, time::interval};
use tokio_util::sync::CancellationToken;

use super::{
    playing::Playing,
    screen::{Guide, draw},
};

/// Shows the mesh and does what keys say, until `q`, Ctrl-C or the token.
pub(super) async fn watch(
    mesh: &mut Mesh,
    mut guide: Guide,
    cancel: &CancellationToken,
) -> Result<()> {
    let mut screen = Screen::open()?;
    let mut keys = keys(cancel.clone());
    let mut pace = interval(EVERY);
    let mut playing = Playing::default();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            key = keys.recv() => match key {
                None | Some(Key::Quit) => return Ok(()),
                Some(Key::Play(play)) => playing.play(play, mesh).await,
            },
            _ = pace.tick() => {}
        }
        playing.tend(mesh).await;
        let picture = mesh.picture(playing.event()).await;
        guide.follow(mesh);
        screen
            .terminal
            .draw(|frame| draw(frame, &picture, &guide))?;
    }
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Quit,
    Play(Play),
}

impl Key {
    fn of(key: KeyEvent) -> Option<Self> {
        if key.kind != KeyEventKind::Press {
            return None;
        }
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Self::Quit),
            KeyCode::Char('q') | KeyCode::Esc => Some(Self::Quit),
            KeyCode::Char(other) => Play::of_key(other).map(Self::Play),
            _ => None,
        }
    }
}

/// Keys as they are pressed. Its thread ends when nobody listens, or with the token.
fn keys(cancel: CancellationToken) -> mpsc::Receiver<Key> {
    let (sender, keys) = mpsc::channel(8);
    thread::spawn(move || {
        while !sender.is_closed() && !cancel.is_cancelled() {
            let event = match event::poll(EVERY) {
                Ok(true) => event::read(),
                Ok(false) => continue,
                Err(_) => return,
            };
            if let Ok(Event::Key(key)) = event
                && let Some(key) = Key::of(key)
                && sender.blocking_send(key).is_err()
            {
                return;
            }
        }
    });
    keys
}

/// The terminal while it is ours; given back when dropped, also by a panic.
struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    fn open() -> Result<Self> {
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen)?;
        let terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        Ok(Self { terminal })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody is left to be told of a terminal that is gone.
        let _ = disable_raw_mode();
        let _ = execute!(stdout(), LeaveAlternateScreen);
    }
}

const EVERY: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_plays_or_the_end() {
        let press = |code, modifiers| Key::of(KeyEvent::new(code, modifiers));
        let plain = |key| press(KeyCode::Char(key), KeyModifiers::NONE);
        assert_eq!(plain('q'), Some(Key::Quit));
        assert_eq!(
            press(KeyCode::Char('c'), KeyModifiers::CONTROL),
            Some(Key::Quit)
        );
        assert_eq!(plain('c'), None);
        for play in Play::ALL {
            assert_eq!(plain(play.key()), Some(Key::Play(play)));
        }
    }
}
