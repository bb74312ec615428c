### Điểm bất thường trong dữ liệu cần người vận hành xử lý: đó là gì và cần làm gì.

finding-origin_stopped = nguồn { $origin } đã bị dừng tiếp nhận tại lô { $seq }: { $reason }; hãy chạy `kho verify`, sau đó `kho origin resume`
finding-site_set_back = điểm kho này đã bị đưa về trạng thái cũ: { $shown_by } cho thấy lô { $shown_seq } của nguồn { $origin } do chính điểm kho này ghi, còn ở đây chỉ có đến lô { $seq }. Việc nhập dữ liệu đã bị đóng. Hãy xuất nguồn { $origin } từ lô { $wanted_from } tại kho cấp trên (`kho bundle export --for SITE`) rồi nạp vào đây (`kho bundle import`); hãy xem bằng lệnh `kho fork list`
finding-node_turned_back = nút { $node } của điểm kho không còn giữ những gì nút đã xác nhận: ổ đĩa của nút đã bị đưa về trạng thái cũ. Các nút khác không dựa vào nút này nữa; hãy giữ ổ đĩa đó, đưa nút ra bằng lệnh `kho node remove { $node }` rồi thêm một nút mới với số hiệu mới
finding-proof_failed = bản ghi của nguồn { $origin } trên đĩa của nút này không khớp với mã đối chiếu và số liệu lưu kèm tại lô { $seq }, phát hiện lúc { $found_at }; hãy chạy lại `kho verify`
finding-evidence_kept = đang lưu { $pieces } chứng cứ về nguồn { $origin }, chứng cứ đầu tiên ở lô { $first_seq }; hãy xem bằng lệnh `kho fork list`
finding-refused_bytes_kept = { $files } đoạn bị từ chối ({ $bytes } byte) đang được lưu trong { $folder }; hãy xem xét các tệp này rồi chuyển đi nơi khác
finding-watermark_ahead = mốc đầy đủ của nguồn { $origin } là { $up_to }, thời điểm này chưa đến: đồng hồ của máy này chậm, hoặc trước đây một đồng hồ của điểm kho đã chạy nhanh. Hãy chỉnh lại đồng hồ; nếu đồng hồ đã đúng, hãy chạy `kho site confirm-time`
finding-pinned_key_retired = khóa ghi trong cấu hình của nút này ({ $pinned }) không còn dùng để ký sổ đăng ký. Điểm kho làm theo sổ đăng ký của mình, trong đó nêu { $trusted }: hãy ghi một trong các khóa này vào `key` của mục `[register]` rồi khởi động lại nút
