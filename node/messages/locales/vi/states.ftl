### Trạng thái của nút, của luồng thay đổi và của kết nối lên cấp trên; vì sao kết quả thiếu một điểm kho.

role-leader = nút chủ
role-follower = nút theo
role-candidate = nút ứng cử
role-learner = nút học
role-stopped = đã dừng

stream-own = tại chỗ
stream-following = đang tiếp nhận
stream-transferring = đang truyền toàn bộ
stream-stopped = bị dừng tại lô { $seq }: { $reason }

uplink-root = cấp cao nhất
uplink-follower = do nút chủ giữ
uplink-starting = đang khởi động
uplink-connecting = đang kết nối
uplink-connected = đã kết nối
uplink-down = mất kết nối: { $failure }

parked-parked = nguồn { $origin }: { $reason }
parked-parent_ahead = nguồn { $origin }: kho cấp trên có nhiều dữ liệu hơn điểm kho này, đến { $cursor }

missing-first_transfer = đang truyền toàn bộ lần đầu: đến nay được { $rows } bản ghi của nguồn { $origin }; hãy xem bằng lệnh `kho status`
missing-nothing_entered = chưa nhập dữ liệu nào cho nguồn { $origin }
missing-nothing_arrived = chưa nhận được dữ liệu nào của nguồn { $origin }; hãy chạy `kho status` tại điểm kho đó
missing-empty = nguồn { $origin } không có dữ liệu tính đến { $up_to }: tại đó chưa nhập dữ liệu nào
missing-stopped = nguồn { $origin } đã bị dừng tiếp nhận tại { $seq } ({ $reason }); hãy chạy `kho verify`, sau đó `kho origin resume`
missing-no_head = chưa có mốc ký hợp lệ nào của nguồn { $origin }
missing-no_stream = điểm kho này không ghi luồng thay đổi nào
