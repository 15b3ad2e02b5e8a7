"""What is measured of services: counted off the path of requests, kept by the minute, scraped by Prometheus.

accounts close → tallies (this process) → a file for /metrics, rows for the Monitoring page
engines' /metrics → scraper (one worker at a time) → rows for the Monitoring page
"""
