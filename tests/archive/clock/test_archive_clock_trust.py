"""Footage time through steps of the machine's date."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.archive.clock.kernel import kernel_synchronised
from khupho.archive.clock.trust import ClockEvent, ClockFact, FootageClock
from khupho.clock import ManualClock
from khupho.units import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE, US_PER_S, parse_utc

NOW_US = parse_utc("2026-11-24T08:00:00Z")
TO_1970_US = -NOW_US + 5 * US_PER_S
TO_2038_US = parse_utc("2038-01-19T03:14:07Z") - NOW_US


class Machine:
    """A machine whose clock and time service are turned by hand."""

    def __init__(self, newest_utc_us: int = 0, utc_us: int = NOW_US, vouched: bool | None = False):
        self.clock = ManualClock(utc_us, 7 * US_PER_S)
        self.vouched = vouched
        self.asked = 0
        self.facts: list[ClockFact] = []
        self.footage = FootageClock(self.clock, self.ask, newest_utc_us, self.facts.append)
        self.last = self.footage.arrival()

    def ask(self) -> bool | None:
        self.asked += 1
        return self.vouched

    def run(self, us: int, every_us: int = 10 * US_PER_S) -> None:
        """Let time pass, looking all the while that footage time keeps its promises."""
        while us > 0:
            part = min(us, every_us)
            self.clock.advance(part)
            us -= part
            self.look()

    def look(self) -> None:
        now = self.footage.arrival()
        elapsed_us = now.mono_us - self.last.mono_us
        moved_us = now.utc_us - self.last.utc_us
        assert moved_us >= 0
        assert now.era >= self.last.era
        if now.era == self.last.era:
            assert abs(moved_us - elapsed_us) <= elapsed_us * 500 // 1_000_000 + 1
        else:
            assert moved_us > elapsed_us
        self.last = now

    def step(self, us: int) -> None:
        self.clock.step(us)
        self.look()

    def events(self) -> list[ClockEvent]:
        return [fact.event for fact in self.facts]


def test_a_good_date_is_taken_as_it_is() -> None:
    machine = Machine(newest_utc_us=NOW_US - US_PER_HOUR, vouched=True)
    machine.run(US_PER_HOUR, US_PER_MINUTE)
    assert machine.last == (machine.clock.utc_us(), machine.clock.mono_us(), False, 0)
    assert machine.footage.confirmed
    assert machine.footage.trouble() is None
    assert machine.events() == [ClockEvent.STARTED]


def test_a_step_under_half_a_second_is_slewed_away_without_a_word() -> None:
    for step_us in (-499_000, 499_000):
        machine = Machine(vouched=True)
        machine.step(step_us)
        assert abs(machine.footage.known_error_us) == 499_000
        machine.run(499_000 * 2_000 - US_PER_S, US_PER_S)
        assert 0 < abs(machine.footage.known_error_us) <= 501
        machine.run(2 * US_PER_S)
        assert machine.footage.known_error_us == 0
        assert machine.events() == [ClockEvent.STARTED]


def test_a_step_back_is_slewed_away_once_believed() -> None:
    for vouched in (True, False):
        machine = Machine(vouched=vouched)
        machine.run(20 * US_PER_MINUTE)
        machine.step(-US_PER_S)
        assert machine.last.clock_wrong
        assert not machine.footage.confirmed
        assert machine.footage.known_error_us == US_PER_S
        machine.run(15 * US_PER_MINUTE - US_PER_S, US_PER_S)
        slewed_us = US_PER_S - machine.footage.known_error_us
        assert slewed_us == (899 * 500 if vouched else 0)
        machine.run(34 * US_PER_MINUTE)
        assert not machine.last.clock_wrong
        assert machine.footage.known_error_us == 0
        assert machine.last.era == 0
        assert machine.events() == [
            ClockEvent.STARTED, ClockEvent.HOLDOVER, ClockEvent.SLEWING, ClockEvent.AGREES,
        ]  # fmt: skip
        assert machine.footage.confirmed


def test_a_step_forward_is_taken_at_once_where_a_time_service_vouches() -> None:
    for step_us in (US_PER_S, US_PER_HOUR, TO_2038_US):
        machine = Machine(vouched=True)
        machine.run(US_PER_MINUTE)
        machine.step(step_us)
        assert machine.last == (machine.clock.utc_us(), machine.clock.mono_us(), False, 1)
        assert machine.facts[-1].event is ClockEvent.BELIEVED
        assert machine.facts[-1].known_error_us == -step_us


def test_a_step_forward_proves_itself_in_fifteen_minutes() -> None:
    for step_us in (US_PER_S, US_PER_HOUR):
        machine = Machine(vouched=None)
        machine.run(US_PER_HOUR)
        machine.step(step_us)
        assert machine.last.clock_wrong
        machine.run(15 * US_PER_MINUTE - 1)
        assert machine.last.clock_wrong
        assert machine.last.utc_us == machine.clock.utc_us() - step_us
        trouble = machine.footage.trouble()
        assert trouble is not None
        assert "ahead of" in str(trouble)
        machine.run(1)
        assert machine.last == (machine.clock.utc_us(), machine.clock.mono_us(), False, 1)
        assert machine.footage.confirmed


def test_a_leap_of_years_is_not_believed_in_fifteen_minutes() -> None:
    machine = Machine()
    machine.run(US_PER_HOUR)
    machine.step(TO_2038_US)
    machine.run(30 * US_PER_DAY, US_PER_HOUR)
    assert machine.last.clock_wrong
    assert not machine.footage.confirmed
    machine.step(-TO_2038_US)
    assert not machine.last.clock_wrong
    assert machine.last.utc_us == NOW_US + US_PER_HOUR + 30 * US_PER_DAY
    assert machine.last.era == 0
    assert machine.events().count(ClockEvent.STILL_WRONG) == 30


def test_1970_is_never_believed() -> None:
    machine = Machine(vouched=True)
    machine.run(US_PER_HOUR)
    machine.step(TO_1970_US)
    machine.run(US_PER_DAY, US_PER_MINUTE)
    assert machine.last.clock_wrong
    assert machine.last.utc_us == NOW_US + US_PER_HOUR + US_PER_DAY
    machine.step(-TO_1970_US)
    assert machine.last == (machine.clock.utc_us(), machine.clock.mono_us(), False, 0)


def test_an_hour_back_and_forth_leaves_no_mark_on_time() -> None:
    machine = Machine()
    machine.step(-US_PER_HOUR)
    machine.run(10 * US_PER_MINUTE)
    machine.step(US_PER_HOUR)
    assert machine.last == (machine.clock.utc_us(), machine.clock.mono_us(), False, 0)
    assert machine.footage.known_error_us == 0


def test_steps_again_and_again_start_the_proof_anew() -> None:
    machine = Machine()
    machine.step(US_PER_HOUR)
    for _ in range(10):
        machine.run(10 * US_PER_MINUTE)
        machine.step(2 * US_PER_S)
    assert machine.last.clock_wrong
    assert machine.last.era == 0
    machine.run(15 * US_PER_MINUTE)
    assert (machine.last.clock_wrong, machine.last.era) == (False, 1)


def test_started_behind_the_newest_footage_it_goes_on_from_there() -> None:
    machine = Machine(newest_utc_us=NOW_US + US_PER_HOUR)
    assert machine.last.utc_us == NOW_US + US_PER_HOUR
    assert machine.last.clock_wrong
    machine.run(US_PER_MINUTE)
    assert machine.last.utc_us == NOW_US + US_PER_HOUR + US_PER_MINUTE
    assert machine.footage.known_error_us == US_PER_HOUR


def test_started_a_little_behind_is_no_alarm() -> None:
    machine = Machine(newest_utc_us=NOW_US + 300_000)
    assert machine.last.utc_us == NOW_US + 300_000
    assert not machine.last.clock_wrong


def test_started_in_1970_without_footage() -> None:
    machine = Machine(utc_us=3 * US_PER_S)
    assert machine.last.clock_wrong
    machine.run(US_PER_HOUR)
    assert not machine.footage.confirmed
    assert "before this program" in str(machine.footage.trouble())
    machine.step(NOW_US)
    machine.run(15 * US_PER_MINUTE)
    assert machine.last == (machine.clock.utc_us(), machine.clock.mono_us(), False, 1)


def test_started_years_after_the_newest_footage() -> None:
    machine = Machine(newest_utc_us=NOW_US, utc_us=NOW_US + TO_2038_US)
    assert (machine.last.utc_us, machine.last.clock_wrong) == (NOW_US, True)
    vouched = Machine(newest_utc_us=NOW_US, utc_us=NOW_US + TO_2038_US, vouched=True)
    assert (vouched.last.utc_us, vouched.last.clock_wrong) == (NOW_US + TO_2038_US, False)


def test_after_an_absence_deletion_waits_for_proof() -> None:
    machine = Machine(newest_utc_us=NOW_US - 100 * US_PER_DAY)
    assert machine.last.utc_us == NOW_US
    assert not machine.footage.confirmed
    machine.run(US_PER_DAY - US_PER_S, US_PER_MINUTE)
    assert not machine.footage.confirmed
    machine.run(US_PER_S)
    assert machine.footage.confirmed


def test_the_kernel_is_asked_at_most_once_a_second() -> None:
    machine = Machine()
    machine.step(US_PER_HOUR)
    asked = machine.asked
    machine.run(10 * US_PER_S, 1_000)
    assert machine.asked - asked <= 10


def test_a_thread_put_aside_between_the_clocks_is_no_step() -> None:
    class Stutter(ManualClock):
        stutters = 0

        def utc_us(self) -> int:
            value = super().utc_us()
            if self.stutters:
                self.stutters -= 1
                self.advance(2 * US_PER_S)
            return value

    clock = Stutter(NOW_US)
    facts: list[ClockFact] = []
    footage = FootageClock(clock, lambda: True, 0, facts.append)
    clock.stutters = 3
    assert not footage.arrival().clock_wrong
    assert [fact.event for fact in facts] == [ClockEvent.STARTED]


@settings(max_examples=60, deadline=None)
@given(
    newest_us=st.sampled_from([0, NOW_US - US_PER_DAY, NOW_US + 100_000, NOW_US + US_PER_HOUR]),
    acts=st.lists(
        st.one_of(
            st.tuples(st.just("run"), st.integers(1, 40 * US_PER_MINUTE)),
            st.tuples(
                st.just("step"),
                st.one_of(
                    st.integers(-US_PER_HOUR, US_PER_HOUR),
                    st.sampled_from([TO_1970_US, TO_2038_US, -TO_2038_US, -US_PER_S, 499_999]),
                ),
            ),
            st.tuples(st.just("vouch"), st.integers(0, 1)),
        ),
        max_size=25,
    ),
)
def test_whatever_happens_time_never_runs_back(newest_us: int, acts: list[tuple[str, int]]) -> None:
    machine = Machine(newest_us)
    assert machine.last.utc_us >= newest_us
    for act, value in acts:
        if act == "run":
            machine.run(value, 5 * US_PER_MINUTE)
        elif act == "step":
            machine.step(value)
        else:
            machine.vouched = bool(value)
        # Unmarked footage is never dated wrong by more than what is slewed silently.
        if not machine.last.clock_wrong:
            assert abs(machine.footage.known_error_us) < 500_000


def test_the_kernel_answers() -> None:
    assert kernel_synchronised() in (True, False, None)
