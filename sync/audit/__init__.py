"""The accounting of a gateway's numbers: what became of each, from what stands in its topics.

It knows Kafka and the names on the wire, and nothing of a gateway: whoever may read the topics can run it.
"""

from sync.audit.accounting import Account, Removal, Statement
from sync.audit.number_set import NumberSet
from sync.audit.topics import Topics

__all__ = ["Account", "NumberSet", "Removal", "Statement", "Topics"]
