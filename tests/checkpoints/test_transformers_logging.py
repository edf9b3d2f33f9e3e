"""What the caller had of the library's settings comes back, whatever it was."""

import threading

import pytest
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from huggingface_hub.utils.tqdm import progress_bar_states
from transformers.utils import logging

from interbert.utils.transformers_logging import quiet_transformers


def settings() -> tuple[bool, int, bool, dict[str, bool]]:
    return (
        logging.is_progress_bar_enabled(),
        logging.get_verbosity(),
        are_progress_bars_disabled(),
        dict(progress_bar_states),
    )


@pytest.fixture(autouse=True)
def settings_come_back():
    bars, verbosity, states = logging.is_progress_bar_enabled(), logging.get_verbosity(), dict(progress_bar_states)
    yield
    (logging.enable_progress_bar if bars else logging.disable_progress_bar)()
    logging.set_verbosity(verbosity)
    progress_bar_states.clear()
    progress_bar_states.update(states)


@pytest.mark.parametrize("bars", [True, False])
@pytest.mark.parametrize("hub_bars", [True, False])
def test_the_callers_bars_come_back(bars, hub_bars):
    (logging.enable_progress_bar if bars else logging.disable_progress_bar)()
    (enable_progress_bars if hub_bars else disable_progress_bars)()
    disable_progress_bars("somebody.downloads")
    logging.set_verbosity_info()
    before = settings()
    with quiet_transformers():
        assert not logging.is_progress_bar_enabled()
        assert are_progress_bars_disabled()
        assert logging.get_verbosity() == logging.ERROR
    assert settings() == before
    with pytest.raises(KeyError), quiet_transformers():
        raise KeyError
    assert settings() == before


def test_blocks_in_one_another_and_side_by_side_give_back_what_was_there_before_the_first():
    logging.enable_progress_bar()
    before = settings()
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with quiet_transformers():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with quiet_transformers():
        with quiet_transformers():
            pass
        assert not logging.is_progress_bar_enabled()
        thread.start()
        assert entered.wait(10)
    assert not logging.is_progress_bar_enabled()  # the other thread still loads
    leave.set()
    thread.join()
    assert settings() == before
