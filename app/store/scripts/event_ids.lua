-- The ids of the events of one status, those that have been so the longest first.
--
-- arg: status; limit, if only so many are wanted
-- → {event id, …}

-- include relay
-- include transitions

local QUEUES = {accepted = DUE, calling = CALLING, unknown = HELD, failed = FAILED}

trim_failed()
return redis.call('ZRANGE', QUEUES[arg.status], 0, (arg.limit or 0) - 1)
