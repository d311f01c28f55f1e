-- What a scale_down has chosen so far, begun workers only: A = its id, owner, epoch.
local key, refused = own_event()
if refused then return refused end
return {'ok', redis.call('HGETALL', key)}
