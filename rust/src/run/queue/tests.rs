use std::time::Duration;

use super::*;
use crate::Error;
use crate::run::Patience;

type Number = Mutex<u32>;

fn enter(queue: &Queue, of: u32, patience: Patience) -> Result<Turn<'_, Number>> {
    enter_while(queue, of, patience, true)
}

fn enter_while(queue: &Queue, of: u32, patience: Patience, goes_on: bool) -> Result<Turn<'_, Number>> {
    queue.enter(|| Some(Arc::new(Mutex::new(of))), &mut Watcher::new(&mut |_| goes_on, patience))
}

fn wait_until(queue: &Queue, waiting: usize) {
    while queue.lock().waiting.len() < waiting {
        std::thread::yield_now();
    }
}

/// Takes everybody along and doubles their numbers.
fn double_all(permit: &Permit) -> usize {
    let others = permit.take_along(|all: &[Arc<Number>]| (0..all.len()).collect());
    for other in &others {
        *other.request.lock().expect("no panic") *= 2;
    }
    others.len()
}

#[test]
fn who_waits_is_taken_along_and_gets_the_own_answer() {
    let queue = Queue::new(vec![0]);
    let Ok(Turn::Own(permit)) = enter(&queue, 0, Patience::default()) else { panic!("it is idle") };
    std::thread::scope(|scope| {
        let start = |of| {
            let queue = &queue;
            scope.spawn(move || match enter(queue, of, Patience::default()) {
                Ok(Turn::Served(request)) => *request.lock().expect("no panic"),
                _ => panic!("nobody took it along"),
            })
        };
        let others: Vec<_> = (1..=8).map(start).collect();
        wait_until(&queue, 8);
        assert_eq!(double_all(&permit), 8);
        let doubled: Vec<u32> = others.into_iter().map(|other| other.join().expect("no panic")).collect();
        assert_eq!(doubled, [2, 4, 6, 8, 10, 12, 14, 16]);
    });
    drop(permit);
    assert_eq!(queue.lock().free, [0]);
}

#[test]
fn the_oldest_comes_first_and_bulk_work_lets_one_by() {
    let queue = Queue::new(vec![0]);
    let Ok(Turn::Own(permit)) = enter(&queue, 0, Patience::default()) else { panic!("it is idle") };
    let order = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for of in 1..=4 {
            let (queue, order) = (&queue, &order);
            scope.spawn(move || {
                let Ok(Turn::Own(_permit)) = enter(queue, of, Patience::default()) else { panic!("no turn") };
                order.lock().expect("no panic").push(of);
            });
            wait_until(queue, usize::try_from(of).expect("small"));
        }
        let bulk = scope.spawn(|| queue.let_by(&mut Watcher::new(&mut |_| true, Patience::default())));
        drop(permit);
        bulk.join().expect("no panic").expect("lets by");
    });
    assert_eq!(order.into_inner().expect("no panic"), [1, 2, 3, 4]);
}

#[test]
fn who_gives_up_leaves_and_the_next_one_comes() {
    let queue = Queue::new(vec![0]);
    let Ok(Turn::Own(permit)) = enter(&queue, 0, Patience::default()) else { panic!("it is idle") };
    let soon = Patience { timeout: Some(Duration::from_millis(20)), ..Patience::default() };
    assert!(matches!(enter(&queue, 1, soon), Err(Error::Timeout(_))));
    let none = Patience { max_queue: Some(0), ..Patience::default() };
    assert!(matches!(enter(&queue, 1, none), Err(Error::QueueFull(_))));
    assert!(matches!(enter_while(&queue, 1, Patience::default(), false), Err(Error::Stopped)));
    assert!(queue.lock().waiting.is_empty());
    drop(permit);
    assert!(matches!(enter(&queue, 1, none), Ok(Turn::Own(_))));
}

#[test]
fn one_who_is_taken_along_by_a_caller_that_panics_waits_no_more() {
    let queue = Queue::new(vec![0]);
    let Ok(Turn::Own(permit)) = enter(&queue, 0, Patience::default()) else { panic!("it is idle") };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| matches!(enter(&queue, 1, Patience::default()), Ok(Turn::Served(_))));
        wait_until(&queue, 1);
        let panicked = crate::panics::caught(|| {
            let _others = permit.take_along(|all: &[Arc<Number>]| (0..all.len()).collect());
            panic!("on purpose")
        });
        assert!(matches!(panicked, Err::<(), _>(Error::Internal(_))));
        assert!(other.join().expect("no panic"));
    });
    drop(permit);
    assert!(matches!(enter(&queue, 2, Patience::default()), Ok(Turn::Own(_))));
}

#[test]
fn the_first_free_lane_is_taken_and_nobody_gets_one_that_was_lost() {
    let queue = Queue::new(vec![0, 1, 1]);
    let lanes = |permits: &[Permit]| permits.iter().map(Permit::lane).collect::<Vec<_>>();
    let enter_alone = || queue.enter_alone(&mut Watcher::new(&mut |_| true, Patience::default()));
    let all: Vec<_> = (0..3).map(|_| enter_alone().expect("is free")).collect();
    assert_eq!(lanes(&all), [0, 1, 1]);
    queue.lose(1, "cuda:1 was lost");
    drop(all);
    let first = enter_alone().expect("is left");
    assert_eq!((first.lane(), queue.lock().runs), (0, 1));
    std::thread::scope(|scope| {
        let waits = scope.spawn(enter_alone);
        wait_until(&queue, 1);
        queue.lose(0, "cuda:0 was lost");
        drop(first);
        assert!(matches!(waits.join().expect("no panic"), Err(Error::Device(_))));
    });
    assert!(matches!(enter_alone(), Err(Error::Device(why)) if why == "cuda:0 was lost"));
    assert!(queue.lock().waiting.is_empty());
}

#[test]
fn that_somebody_came_is_known_for_a_while() {
    let queue = Queue::new(vec![0]);
    assert!(!queue.is_visited());
    drop(enter(&queue, 0, Patience::default()).expect("it is idle"));
    assert!(queue.is_visited());
    std::thread::sleep(2 * RECENT);
    assert!(!queue.is_visited());
}
