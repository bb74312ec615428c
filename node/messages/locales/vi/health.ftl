### Nút có hoạt động bình thường không, hoặc điều đầu tiên cần xử lý.

health-healthy = hoạt động bình thường
health-no_register = chưa có sổ đăng ký: hãy cấp sổ đăng ký cho điểm kho bằng lệnh `kho register apply`
health-removed = đã bị đưa ra: theo nhật ký của nút { $by }, nút này không còn là thành viên của điểm kho. Hãy dừng nút này; một nút mới tham gia với số hiệu mới bằng lệnh `kho node add`
health-key_not_in_register = nút này không bao giờ làm nút chủ: khóa ký của nút không có trong sổ đăng ký, hoặc đã bị thu hồi. Hãy thêm thẻ của nút bằng lệnh `kho register add-node`, ký sổ đăng ký và cấp cho nút này bằng lệnh `kho register apply`; nếu khóa đã bị thu hồi, hãy thay nút
health-no_leader = chưa có nút chủ: đa số các nút của điểm kho phải đang chạy và liên lạc được với nhau
health-leader_unreachable = nút { $leader } là nút chủ của điểm kho và liên lạc được với nút này, nhưng nút này đã { $silent_seconds } giây không liên lạc được với nút chủ ở { $address }: không thể nhập dữ liệu hoặc đọc chính xác qua nút này. Nếu nút chủ đã chuyển đi, hãy ghi địa chỉ mới của nút vào mục `addresses` trong khod.toml ở đó rồi khởi động lại khod ở đó; nếu không, hãy kiểm tra mạng giữa hai nút
health-no_majority = không đủ đa số: đã { $silent_seconds } giây chưa có đa số các nút của điểm kho trả lời
health-heads_still = mốc ký của nguồn { $origin } không tiến thêm: mốc mới nhất đã cũ { $age_seconds } giây
health-parent_cursor_still = vị trí nhận của kho cấp trên đối với nguồn { $origin } không tiến thêm: { $lag_batches } lô đã chờ { $lag_seconds } giây
health-uplink_down = mất kết nối lên kho cấp trên: { $failure }
health-finding_stands = { $finding }
health-alarm_raised = cảnh báo: { $alarm }
