-- Cancel the next workers of a doomed event: A = id, owner, epoch, time. Returns 'more' where some are left,
-- 'ended' where that ended the event, else 'ok': what had begun ends when its Pods have gone.
local failure = untellable(RESULTS)
if failure then return failure end
local key, refused = own_event()
if refused then return refused end
local ended, more = cancel_doomed(A[1], key, A[4], now_ms())
return {ended and 'ended' or more and 'more' or 'ok', unbegun}
