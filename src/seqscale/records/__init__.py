"""What each result was made from, written down when it is made, and the audit that compares it with what lies there.

    ledger   written by whoever writes a result: its checksum, its inputs' checksums, the code that made it
    audit    reads all of that back and names every file that is not what the records say

Recording is on where SEQSCALE_RECORDS names the folder of results; the workflow sets it for its jobs.
"""
