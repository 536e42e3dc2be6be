-- Removes what is over and need not be remembered, and has each key last as long as the longest
-- of what is in it.

-- `command` with as many `words` at a time as Lua's stack holds.
local function many(command, key, words)
  for first = 1, #words, 1000 do
    call(command, key, spread(words, first, min(first + 999, #words)))
  end
end

local function tidy()
  for _, key in ipairs({ A, F, L }) do
    local all, over, longest = call('HGETALL', key), {}, 0
    for index = 1, #all, 2 do
      local field, text, till = all[index], all[index + 1], FOREVER
      if key == L and #text >= LOCK_SIZE then
        till = unpack('>I7', text, 28)
      elseif key ~= L and #text >= SIZE then
        local updated, _, _, _, expires = unpack('>I6I6I7I7I7', text, 30)
        till = max(expires, updated + REMEMBERED)
      end
      if ms >= till then
        over[#over + 1] = field
      else
        longest = max(longest, till)
      end
    end
    many('HDEL', key, over)
    if PAYLOADS[key] then
      many('HDEL', PAYLOADS[key], over)
    end
    if longest > 0 then
      expire(key, longest)
      if PAYLOADS[key] then
        expire(PAYLOADS[key], longest)
      end
    end
  end
  if shown then
    expire(O, owner_lasts())
  end
end
