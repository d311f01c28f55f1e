-- How many entries lie behind an id, at most one: A = the id. Its fields stay in Redis. Writes nothing.
if broken(STREAM, 'stream') then return {'ok', 0} end
return {'ok', #redis.call('XRANGE', STREAM, '(' .. A[1], '+', 'COUNT', 1)}
