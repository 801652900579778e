//! What was opened so far, by a key. Each is opened once, and while one is being opened nobody waits who asks for another.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::Result;

pub(super) struct Opened<K, V> {
    slots: Mutex<HashMap<K, Arc<Slot<V>>>>,
    any: AtomicBool,
}

struct Slot<V> {
    value: OnceLock<V>,
    opening: Mutex<()>,
}

impl<K, V> Default for Opened<K, V> {
    fn default() -> Self {
        Self { slots: Mutex::default(), any: AtomicBool::new(false) }
    }
}

impl<K: Eq + Hash, V: Clone> Opened<K, V> {
    /// Whether anything is open.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// What is open under `key`, without waiting for who opens it.
    pub(super) fn get(&self, key: K) -> Option<V> {
        self.slot(key).value.get().cloned()
    }

    /// What is open under `key`, opened now if nothing is. `open` gives `None` for what cannot be opened any more.
    pub(super) fn get_or_open(&self, key: K, open: impl FnOnce() -> Result<Option<V>>) -> Result<Option<V>> {
        let slot = self.slot(key);
        if let Some(value) = slot.value.get() {
            return Ok(Some(value.clone()));
        }
        let _turn = slot.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = slot.value.get() {
            return Ok(Some(value.clone()));
        }
        let opened = open()?;
        if let Some(value) = &opened {
            let _ = slot.value.set(value.clone());
            self.any.store(true, Ordering::Release);
        }
        Ok(opened)
    }

    fn slot(&self, key: K) -> Arc<Slot<V>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Slot { value: OnceLock::new(), opening: Mutex::default() });
        Arc::clone(slots.entry(key).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::Error;

    #[test]
    fn nobody_waits_for_the_opening_of_another() {
        let (opened, entered, leave) = (Opened::default(), Barrier::new(2), Barrier::new(2));
        std::thread::scope(|scope| {
            let slow = scope.spawn(|| {
                opened.get_or_open("slow", || {
                    entered.wait();
                    leave.wait();
                    Ok(Some(1))
                })
            });
            entered.wait();
            assert!(!opened.any());
            assert_eq!(opened.get("slow"), None);
            assert_eq!(opened.get_or_open("quick", || Ok(Some(2))).expect("opens"), Some(2));
            assert_eq!(opened.get_or_open("quick", || panic!("it is open")).expect("is open"), Some(2));
            leave.wait();
            assert_eq!(slow.join().expect("no panic").expect("opens"), Some(1));
        });
        assert_eq!(opened.get("slow"), Some(1));
    }

    #[test]
    fn many_who_ask_at_once_get_what_one_opened() {
        let (opened, count) = (Opened::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| opened.get_or_open((), || Ok(Some(count.fetch_add(1, Ordering::Relaxed)))));
            }
        });
        assert_eq!((count.into_inner(), opened.get(())), (1, Some(0)));
    }

    #[test]
    fn what_failed_is_tried_again() {
        let opened = Opened::default();
        assert!(opened.get_or_open("it", || Err(Error::Stopped)).is_err());
        assert_eq!(opened.get_or_open("it", || Ok(None)).expect("no error"), None);
        assert!(!opened.any());
        assert_eq!(opened.get_or_open("it", || Ok(Some(3))).expect("opens"), Some(3));
    }
}
