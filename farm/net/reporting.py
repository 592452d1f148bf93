"""A report on storage commitment on an association that the server opens (PS3.4 section J.3.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from farm.errors import Reason, Unavailable
from farm.net.committing import Owed
from farm.net.conversation import Conversation
from farm.net.dimse import Field
from farm.net.peers import Peer, Proposal, associate_request
from farm.net.services import STORAGE_COMMITMENT, Status, is_warning

_MAXIMUM_LENGTH: Final = 131_072
_PROPOSAL: Final = Proposal(sop_class=STORAGE_COMMITMENT, receives=True)


async def report(peer: Peer, owed: Owed) -> None:
    """Report on an association of its own, as an SCP that requests it; raise `Unavailable` where that fails.

    A peer that accepts the service and says nothing of roles is believed to mean it: many say nothing.
    """
    conversation = Conversation(replace(peer, calling_ae_title=owed.called))
    await conversation.open(associate_request(conversation.peer, [_PROPOSAL], _MAXIMUM_LENGTH))
    try:
        context = next(iter(conversation.contexts.values()))
        values, data = owed.report(context.transfer_syntax)
        message_id = await conversation.ask(Field.N_EVENT_REPORT_RQ, context, values, [data])
        status = (await conversation.response(message_id)).command.status
    except BaseException:
        conversation.abort()
        raise
    finally:
        await conversation.release()
    if status != Status.SUCCESS and not is_warning(status):
        raise Unavailable(Reason.PEER_REFUSED, status=status)
