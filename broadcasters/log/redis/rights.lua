#!lua flags=no-writes
-- Returns the names of the commands that the log needs and this user may not run.
-- ARGV  the stem of a plan's keys, a key of the index
local plan, index = ARGV[1], ARGV[2]
local needed = {
  {'xadd', plan .. 'log', '*', 'e', ''}, {'xrange', plan .. 'log', '-', '+'}, {'xtrim', plan .. 'log', 'MINID', '0'},
  {'hmget', plan .. 'meta', 'x'}, {'hset', plan .. 'meta', 'x', ''}, {'hget', plan .. 'keys', 'x'},
  {'hgetall', plan .. 'meta'}, {'hdel', plan .. 'meta', 'x'}, {'hlen', plan .. 'meta'},
  {'del', plan .. 'log'}, {'type', plan .. 'log'}, {'unlink', plan .. 'log'}, {'exists', plan .. 'log'}, {'expire', plan .. 'log', '1'},
  {'pexpire', plan .. 'log', '1'}, {'persist', plan .. 'log'}, {'pttl', plan .. 'meta'},
  {'get', plan .. 'checkpoint'}, {'set', plan .. 'checkpoint', ''},
  {'spublish', plan .. 'live', ''}, {'ssubscribe', plan .. 'live'}, {'sunsubscribe', plan .. 'live'},
  {'zadd', index, '0', ''}, {'zrange', index, '0', '0'}, {'zrem', index, ''},
  {'zremrangebyscore', index, '0', '0'}, {'expire', index, '1'},
  {'evalsha', '', '1', plan .. 'log'}, {'script', 'load', ''}, {'fcall', '', '1', plan .. 'log'}, {'function', 'load', ''},
  {'time'}, {'info'}, {'ping'}, {'wait', '0', '0'},
}
local missing = {}
for _, command in ipairs(needed) do
  if not redis.acl_check_cmd(unpack(command)) then
    missing[#missing + 1] = command[1] .. (command[2] == 'load' and '|load' or '')
  end
end
return missing
