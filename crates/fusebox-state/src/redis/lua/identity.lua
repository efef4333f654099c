-- ARGV: 1 the id to give the store if it has none.

redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
