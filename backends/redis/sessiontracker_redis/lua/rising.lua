-- The time in µs, or one above the `last`: as text, which no number holds exactly.
local rising = format('%019.0f', now)
if rising <= last then
  local high, low = sub(last, 1, 10), tonumber(sub(last, 11)) + 1
  if low == 1000000000 then
    high, low = format('%010.0f', tonumber(high) + 1), 0
  end
  rising = high .. format('%09.0f', low)
end
