"""Forms in a shared JupyterLab: skins over the fleet's plans that keep values to one tab."""
