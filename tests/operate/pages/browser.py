"""Chromium, driven as a person drives it; it reaches only the loopback interface."""

import shutil
from pathlib import Path
from typing import Any, Self

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.web.browser import NAMES, OPTIONS

WAIT_SECONDS = 30
HEIGHT = 900
NO_SCRIPTS = {"profile.managed_default_content_settings.javascript": 2}


class Chromium:
    """One browser; without Chromium or its driver the test is skipped."""

    def __init__(self, url: str, directory: Path) -> None:
        chromium = next(filter(None, map(shutil.which, NAMES)), None)
        driver = shutil.which("chromedriver")
        if chromium is None or driver is None:
            pytest.skip("no browser: apt-get install --no-install-recommends chromium-driver")
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for option in (*OPTIONS, f"--user-data-dir={directory / 'profile'}"):
            options.add_argument(option)
        options.add_experimental_option("prefs", NO_SCRIPTS)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.url = url
        self.driver = webdriver.Chrome(options=options, service=Service(driver))

    def __enter__(self) -> Self:
        """Return the running browser."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.driver.quit()

    @property
    def path(self) -> str:
        """The address that is shown, below the relay's."""
        return self.driver.current_url.removeprefix(self.url)

    @property
    def text(self) -> str:
        """The page's text, as it is seen."""
        return self._page().text

    def open(self, path: str) -> None:
        """Enter an address."""
        self.driver.get(self.url + path)

    def fill(self, label: str, text: str) -> None:
        """Fill the field with this label."""
        marked = self.driver.find_element(By.XPATH, f"//label[normalize-space()='{label}']")
        field = self.driver.find_element(By.ID, marked.get_attribute("for") or "")
        field.clear()
        field.send_keys(text)

    def press(self, name: str) -> None:
        """Press the button, or follow the link, whose text begins so; wait for the next page."""
        begins = f"starts-with(normalize-space(), '{name}')"
        self._leave(self.driver.find_element(By.XPATH, f"//*[self::button or self::a][{begins}]"))

    def type_keys(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def tab_to(self, name: str) -> WebElement:
        """Press the tabulator until the focus is on what has this text."""
        for _ in range(60):
            self.type_keys(Keys.TAB)
            focused = self.driver.switch_to.active_element
            if focused.text.startswith(name):
                return focused
        raise AssertionError(f"no key leads to {name}")

    def enter(self) -> None:
        """Press Enter on what has the focus; wait for the next page."""
        page = self._page()
        self.type_keys(Keys.ENTER)
        self._wait_for_other(page)

    def wait_for(self, text: str, path: str) -> None:
        """Load a page until it has the text: a worker takes its time."""

        def has_come(_: object) -> bool:
            self.open(path)
            return text in self.text

        self._wait().until(has_come, f"no {text!r} at {path}")

    def resize(self, width: int) -> None:
        """Give the page a width in pixels, narrower than a window can be as well."""
        self._run("Emulation.setDeviceMetricsOverride", width=width, height=HEIGHT)

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than what is seen of it."""
        # The page may run no script; the protocol measures.
        metrics: dict[str, Any] = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})
        return int(metrics["cssContentSize"]["width"] - metrics["cssLayoutViewport"]["clientWidth"])

    def complaints(self) -> list[str]:
        """Return the lines of the console since the last time, but for an answer's status."""
        lines = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [line["message"] for line in lines if "status of 4" not in line["message"]]

    def _leave(self, element: WebElement) -> None:
        page = self._page()
        element.click()
        self._wait_for_other(page)

    def _page(self) -> WebElement:
        return self.driver.find_element(By.TAG_NAME, "main")

    def _wait_for_other(self, page: WebElement) -> None:
        """Wait for another page; between the two the driver may find none, or fail to look."""
        self._wait().until(lambda _: self._page() != page)

    def _wait(self) -> WebDriverWait[webdriver.Chrome]:
        return WebDriverWait(self.driver, WAIT_SECONDS, ignored_exceptions=[WebDriverException])

    def _run(self, command: str, **arguments: Any) -> None:
        self.driver.execute_cdp_cmd(command, {"deviceScaleFactor": 1, "mobile": False, **arguments})
