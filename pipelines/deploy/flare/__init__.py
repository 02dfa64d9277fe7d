"""NVFlare behind one door: the coordinator's and the hospitals' processes, and the operator's."""
