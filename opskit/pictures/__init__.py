"""Pictures of the fleet: pure functions from snapshots and journals to drawings with numbers.

``age_map(snap)``, ``states(snap)``, ``fleet_map(snap)``, ``findings_trend(snaps)`` and
``timeline(run)`` each give a `Picture`: a self-contained SVG without script that follows the
page's light or dark theme, a sentence that says what is to be seen, and the numbers as a table.
"""

from opskit.pictures.fleet import fleet_map
from opskit.pictures.picture import Picture
from opskit.pictures.secrets import age_map, states
from opskit.pictures.timeline import timeline
from opskit.pictures.trend import findings_trend

__all__ = ["Picture", "age_map", "findings_trend", "fleet_map", "states", "timeline"]
