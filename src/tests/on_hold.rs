//! Callers who put Milo on hold: what waits for them, and what the language model learns of it.

use std::{fs, path::Path, time::Duration};

use tokio::{task::block_in_place, time::sleep};

use crate::{
    house::{MILO, ended, events, folder, get, milo, recording, stop, until, with_plans},
    telephone::Telephone,
};

#[tokio::test(flavor = "multi_thread")]
async fn while_the_caller_holds_the_time_for_keys_stands_still() {
    let plans = "
[[plan]]
name = 'ask'
number = 'ask'
language = 'mg'
actions = [{ answer = {} }, { gather = { input = 'digits', max = 1, first_seconds = 5, into = 'key', retries = 0 } }]

[[plan]]
name = 'either'
number = 'either'
language = 'mg'
actions = [{ answer = {} }, { gather = { input = 'both', max = 1, first_seconds = 5, into = 'key', retries = 0 } }]
";
    let near = with_plans("keys-held", plans).await;
    let mut both = ["ask", "either"].map(|number| block_in_place(|| Telephone::call(&near, number)));
    block_in_place(|| both.iter_mut().for_each(|telephone| telephone.changes_to("inactive")));
    // Newest first.
    let ids = [1, 0].map(|at: usize| get(&near, "/api/v1/calls")["calls"][at]["id"].clone());
    until(&near, &ids[0], "held", |row| !events(row, "held").is_empty()).await;
    sleep(Duration::from_secs(8)).await;
    block_in_place(|| both.iter_mut().for_each(|telephone| telephone.changes_to("sendrecv")));
    until(&near, &ids[0], "resumed", |row| !events(row, "resumed").is_empty()).await;
    for (mut telephone, id) in both.into_iter().zip(&ids) {
        block_in_place(|| {
            telephone.presses('5');
            telephone.answers("BYE", "200 OK");
        });
        let row = ended(&near, id).await;
        let gathered = events(&row, "gathered")[0];
        assert_eq!((&gathered["keys"], &gathered["right"]), (&1.into(), &true.into()), "{row}");
    }
    stop(near).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_told_that_a_transfer_failed_and_that_the_caller_was_away() {
    let far = with_plans(
        "told-far",
        "[[plan]]\nname = 'busy'\nnumber = 'busy'\nlanguage = 'mg'\nactions = [{ reject = { status = 486 } }]\n",
    )
    .await;
    let plans = folder("told-plans");
    let busy = far.udp("busy").expect("an address");
    let agent = format!(
        "[[plan]]\nname = 'agent'\nnumber = 'agent'\nlanguage = 'mg'\nactions = [{{ answer = {{}} }}, \
         {{ transfer = {{ to = '{busy}', mode = 'attended' }} }}, {{ converse = {{ persona = 'demo' }} }}]\n"
    );
    fs::write(plans.join("plans.toml"), [MILO, &agent].concat()).expect("a temporary folder");
    fs::create_dir_all(plans.join("personas")).expect("a temporary folder");
    let persona = Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/personas/demo.toml");
    fs::copy(persona, plans.join("personas/demo.toml")).expect("a temporary folder");
    let near = milo("told", &[("MILO__DIALPLANS__PATH", &plans.to_string_lossy())]).await;
    let mut telephone = block_in_place(|| Telephone::call(&near, "agent"));
    let id = get(&near, "/api/v1/calls")["calls"][0]["id"].clone();
    // The greeting is over.
    until(&near, &id, "greeted", |row| row["turns"].as_array().is_some_and(|turns| !turns.is_empty())).await;
    block_in_place(|| telephone.changes_to("inactive"));
    until(&near, &id, "held", |row| !events(row, "held").is_empty()).await;
    sleep(Duration::from_secs(2)).await;
    block_in_place(|| telephone.changes_to("sendrecv"));
    let row = until(&near, &id, "resumed", |row| !events(row, "resumed").is_empty()).await;
    assert!(events(&row, "resumed")[0]["after_ms"].as_u64() >= Some(2_000), "{row}");
    block_in_place(|| telephone.says(&recording("mg_hours.wav")));
    let row = until(&near, &id, "told", |row| !events(row, "told_model").is_empty()).await;
    let told = events(&row, "told_model")[0]["text"].as_str().unwrap_or_default().to_owned();
    assert!(told.contains("sahirana ny laharana"), "what came of the transfer: {told}");
    assert!(told.contains("segondra"), "and that they were away: {told}");
    block_in_place(|| telephone.hangs_up());
    stop(near).await;
    stop(far).await;
    fs::remove_dir_all(plans).ok();
}
