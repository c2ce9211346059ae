use super::*;

fn candidates(of: &[(u8, u32, bool)]) -> Levels {
    let candidates: Vec<_> = of
        .iter()
        .map(|&(priority, weight, usable)| Candidate {
            priority,
            weight: NonZeroU32::new(weight).unwrap(),
            usable,
        })
        .collect();
    Levels::new(&candidates)
}

/// How often each place is picked when nobody is loaded.
fn idle_shares<const N: usize>(levels: &Levels, tried: &[usize], draws: u32) -> [f64; N] {
    let mut dice = Dice::new(11);
    let mut counts = [0_u32; N];
    for _ in 0..draws {
        if let Some(place) = levels.pick(tried, |_| 0, &mut dice) {
            counts[place] += 1;
        }
    }
    counts.map(|count| f64::from(count) / f64::from(draws))
}

fn near(is: f64, should: f64, draws: u32) -> bool {
    let sigma = (should * (1.0 - should) / f64::from(draws)).sqrt();
    (is - should).abs() <= 5.0 * sigma
}

#[test]
fn idle_endpoints_get_their_weights() {
    let levels = candidates(&[(0, 1, true), (0, 3, true), (0, 6, true)]);
    let shares: [f64; 3] = idle_shares(&levels, &[], 20_000);
    for (share, weight) in shares.into_iter().zip([0.1, 0.3, 0.6]) {
        assert!(near(share, weight, 20_000), "{shares:?}");
    }
}

#[test]
fn load_over_weight_evens_out() {
    let levels = candidates(&[(0, 1, true), (0, 3, true), (0, 2, true), (0, 2, true)]);
    let mut dice = Dice::new(5);
    let mut loads = [0_u32; 4];
    for _ in 0..8_000 {
        let place = levels.pick(&[], |place| loads[place], &mut dice).unwrap();
        loads[place] += 1;
    }
    for (load, expected) in loads.into_iter().zip([1_000, 3_000, 2_000, 2_000]) {
        assert!(load.abs_diff(expected) <= expected / 50, "{loads:?}");
    }
}

#[test]
fn of_two_the_less_loaded_is_always_taken() {
    let levels = candidates(&[(0, 1, true), (0, 1, true)]);
    let mut dice = Dice::new(1);
    let loads = [3, 2];
    assert!((0..100).all(|_| levels.pick(&[], |p| loads[p], &mut dice) == Some(1)));
}

#[test]
fn a_healthy_first_level_takes_all() {
    let levels = candidates(&[(0, 1, true), (1, 100, true)]);
    assert_eq!(idle_shares(&levels, &[], 1_000), [1.0, 0.0]);
}

#[test]
fn half_a_level_spills_three_tenths() {
    // 1 of 2 usable: 50 % times 1.4 stays, the rest goes on.
    let levels = candidates(&[(0, 1, true), (0, 1, false), (1, 1, true)]);
    let shares: [f64; 3] = idle_shares(&levels, &[], 20_000);
    assert!(near(shares[0], 0.7, 20_000), "{shares:?}");
    assert!(near(shares[2], 0.3, 20_000), "{shares:?}");
    assert_eq!(shares[1], 0.0);
}

#[test]
fn an_unusable_level_is_passed_over() {
    let levels = candidates(&[(0, 1, false), (3, 1, true)]);
    assert_eq!(idle_shares(&levels, &[], 100), [0.0, 1.0]);
    assert_eq!(
        idle_shares::<1>(&candidates(&[(0, 1, false)]), &[], 1),
        [0.0]
    );
    assert_eq!(candidates(&[]).pick(&[], |_| 0, &mut Dice::new(0)), None);
}

#[test]
fn what_was_tried_is_not_tried_again_while_others_are_left() {
    let levels = candidates(&[(0, 5, true), (0, 1, true), (0, 2, true), (1, 1, true)]);
    let shares: [f64; 4] = idle_shares(&levels, &[0], 20_000);
    assert!(near(shares[1], 1.0 / 3.0, 20_000), "{shares:?}");
    assert_eq!(idle_shares(&levels, &[2, 0], 100), [0.0, 1.0, 0.0, 0.0]);
    assert_eq!(idle_shares(&levels, &[2, 0, 1], 100), [0.0, 0.0, 0.0, 1.0]);
    assert_eq!(idle_shares(&levels, &[2, 3, 0, 1], 100), [0.0; 4]);
}

/// Whatever the weights, health and history: only usable endpoints, none twice, and one
/// as long as there is one.
#[test]
fn every_usable_endpoint_is_found_once_in_random_routes() {
    let mut dice = Dice::new(9);
    for _ in 0..2_000 {
        let mut roll = |bound| u32::try_from(dice.below(bound).unwrap()).unwrap();
        let route: Vec<(u8, u32, bool)> = (0..roll(8))
            .map(|_| (u8::try_from(roll(3)).unwrap(), roll(50) + 1, roll(3) > 0))
            .collect();
        let levels = candidates(&route);
        let mut tried = Vec::new();
        while let Some(place) = levels.pick(&tried, |p| route[p].1 % 5, &mut dice) {
            assert!(
                route[place].2 && !tried.contains(&place),
                "{route:?} {tried:?}"
            );
            tried.push(place);
        }
        let usable = route.iter().filter(|candidate| candidate.2).count();
        assert_eq!(tried.len(), usable, "{route:?}");
    }
}
